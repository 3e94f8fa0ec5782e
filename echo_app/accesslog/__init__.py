"""The access log: the fields of its entries, the writers of entries, and the file."""
