"""The Pareto front of size and accuracy."""


def pareto_front(rows) -> set[int]:
    """Indices of the rows that no other row beats in both size and accuracy."""
    front, best = set(), -1.0
    for i in sorted(range(len(rows)), key=lambda i: (rows[i].size_bytes, -rows[i].accuracy)):
        if rows[i].accuracy > best:
            front.add(i)
            best = rows[i].accuracy
    return front
