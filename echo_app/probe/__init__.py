"""Probe: the client end, which examines the path to an echo service.

It is the judge of a service, and so shares no code with ours: of ``echo_app`` it imports the version alone.

From the top, each module imports only what stands before it: ``targets`` (what is looked at), ``findings``
(what is said about it), ``patience`` (how long is waited), ``wire`` and ``tls`` (sockets, read and written
as told), ``stream`` (what checks talk through), ``checks`` (the interface of a check, and its context), the
checks themselves, ``examination`` (runs them), ``ping``, ``load`` (many messages, from processes of their
own), and ``command``.
"""
