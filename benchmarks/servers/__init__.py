"""The servers that are compared with echo_app, each as its own users would write it.

The servers of all languages take ``--port 0`` (or ``--udp 0``, or ``--tls 0 --certificate FILE``) and
``--ready-file FILE`` as ``twistd echo`` does. They listen on 127.0.0.1 with a backlog of 1024, and set
TCP_NODELAY.

A relay also takes ``--forward HOST:PORT``, its upstream, and sets TCP_NODELAY on both of its connections.
"""
