"""The part of curl that the documentation uses. It exits with status 1 if the answer is an error."""

import argparse
import sys

import httpx

parser = argparse.ArgumentParser()
parser.add_argument("-s", action="store_true")
parser.add_argument("-H", action="append", default=[])
parser.add_argument("-d")
parser.add_argument("url")
given = parser.parse_args()
headers = dict(header.split(": ", 1) for header in given.H)
answer = httpx.request("GET" if given.d is None else "POST", given.url, headers=headers, content=given.d, timeout=60)
print(answer.text)
sys.exit(answer.is_error)
