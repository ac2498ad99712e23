"""Files that are written whole or not at all, and archives that are looked at before anything reads them.

A path and bytes come in; a file that a killed process cannot have left half written goes out. Begin with `atomic.py`;
`archive.py` is what stands between a `.keras` file of somebody else's and Keras.
"""

from cvhn_tf.files.archive import check_archive
from cvhn_tf.files.atomic import remove_leftovers, replacing, write_atomically

__all__ = ["check_archive", "remove_leftovers", "replacing", "write_atomically"]
