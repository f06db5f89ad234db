"""Parallel sessions of two Windows users, mixed with anonymous requests, against one address.

Usage: windows_users.py URL SESSIONS REQUESTS
Prints one JSON object: right, wrong (the page of another user), failed, anonymous_right,
anonymous_wrong, and the first few failures in words.
"""

import json
import sys
import threading

import requests
from requests_ntlm import HttpNtlmAuth

URL, SESSIONS, REQUESTS = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
USERS = [("LAB\\alice", "Passw0rd!"), ("LAB\\bob", "Secret123!")]
counts = dict(right=0, wrong=0, failed=0, anonymous_right=0, anonymous_wrong=0)
words = []
lock = threading.Lock()


def count(key, what=None):
    with lock:
        counts[key] += 1
        if what and len(words) < 5:
            words.append(what)


def anonymous():
    """An anonymous request must never meet a connection that belongs to somebody."""
    try:
        response = requests.get(URL + "/private", timeout=30)
        if response.status_code == 401:
            return count("anonymous_right")
        count("anonymous_wrong", f"anonymous: {response.status_code} {response.text!r}")
    except requests.RequestException as error:
        count("anonymous_wrong", f"anonymous: {error}")


def session(number):
    user, password = USERS[number % 2]
    client = requests.Session()
    client.auth = HttpNtlmAuth(user, password)
    for turn in range(REQUESTS // SESSIONS):
        try:
            response = client.get(f"{URL}/private?{number}.{turn}", timeout=30)
            seen = response.headers.get("X-User")
            if response.status_code == 200 and seen == user:
                count("right")
            elif response.status_code == 200:
                count("wrong", f"{user} got the page of {seen}")
            else:
                count("failed", f"{user}: {response.status_code} {response.text!r}")
        except requests.RequestException as error:
            count("failed", f"{user}: {error}")
        if turn % 3 == 0:
            anonymous()


threads = [threading.Thread(target=session, args=(number,)) for number in range(SESSIONS)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(json.dumps({**counts, "words": words}))
