"""The programs that will run a file: what each of them computes right.

The name of a client, or several, comes in; a `Client` goes out, by which the conversion makes the file and refuses what
that client would refuse or compute wrongly. A client is a row of a table. Begin with `table.py`.
"""

from cvhn_tf.export.clients.client import Client
from cvhn_tf.export.clients.table import CLIENTS, as_client

__all__ = ["CLIENTS", "Client", "as_client"]
