"""Calls an echo service with a Redis client, to see the effect of faults: ``client_library.py PORT RETRIES``.

In the Redis protocol a request is also a valid answer. So to a Redis client, an echo is a server that answers
with the request. The example needs ``pip install redis``.
"""

import sys
import time

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

port, retries = map(int, sys.argv[1:])
client = redis.Redis(port=port, protocol=2, socket_timeout=1, retry=Retry(NoBackoff(), retries))
for word in ("one", "two", "three"):
    began = time.monotonic()
    try:
        answer = client.execute_command("ECHO", word)
    except redis.RedisError as error:
        answer = f"{type(error).__name__}: {error}"
    print(f"{time.monotonic() - began:.2f} s  {answer}")
