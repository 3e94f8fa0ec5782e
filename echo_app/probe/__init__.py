"""Probe: the client end, which examines the path to an echo service.

It is the judge of a service, and so shares no code with ours that moves bytes: of ``echo_app`` it imports the
version, the clock, texts, targets and the fields of ``TCP_INFO``.

The packages: ``results`` (values, statistics and comparisons), ``net`` (sockets, TLS and datagrams),
``checks`` (the checks, and the examination that runs them), ``load`` (many messages, from worker processes),
``report`` (results as text, tables and pictures), and ``cli`` (the commands).
"""
