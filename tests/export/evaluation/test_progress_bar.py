"""How far a search or a comparison is, in a log."""

import time

from cvhn_tf.export.evaluation.progress_bar import progress_bar


def test_a_log_gets_a_line_for_each_tenth_and_where_it_has_been_silent(monkeypatch, capfd):
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with progress_bar("Searching", verbose=True) as advance:
        advance(1, 20, "[1] tried")
        assert capfd.readouterr().err == ""
        advance(2, 20, "[2] tried")
        assert capfd.readouterr().err == "Searching: 10%, [2] tried\n"
        now = 29.0
        advance(2, 20, "[3] tried")
        assert capfd.readouterr().err == ""
        now = 30.0
        advance(2, 20, "[4] tried")
        advance(3, 20, "[5] tried")
        assert capfd.readouterr().err == "Searching: 10%, [4] tried\n"
        advance(20, 20, "[6] tried")
    assert capfd.readouterr().err == "Searching: 100%, [6] tried\n"


def test_nobody_is_told_who_did_not_ask(capfd):
    with progress_bar("Searching", verbose=False) as advance:
        advance(2, 2, "2 tried")
    assert capfd.readouterr().err == ""
