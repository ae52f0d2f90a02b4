"""Looks the pinned dependencies up in the database of known vulnerabilities, by pip-audit.

Fails for a vulnerability that is known. Without a network nothing can be looked up: that is said, and is no failure.
"""

import json
import subprocess
import sys

COMMAND = [
    sys.executable, "-m", "pip_audit", "--requirement", "constraints.txt", "--no-deps", "--disable-pip",
    "--format", "json", "--progress-spinner", "off", "--timeout", "5",
]  # fmt: skip
SECONDS = 300


def main() -> int:
    try:
        result = subprocess.run(COMMAND, capture_output=True, text=True, timeout=SECONDS)
        packages = json.loads(result.stdout)["dependencies"]
    except (subprocess.TimeoutExpired, ValueError) as error:
        print(f"audit: NOTHING WAS AUDITED, the database was not reached ({type(error).__name__})")
        return 0
    found = [f"{p['name']} {p['version']}: {v['id']}" for p in packages for v in p.get("vulns", ())]
    skipped = sum("skip_reason" in package for package in packages)
    print(*found, sep="\n", end="\n" if found else "")
    print(
        f"audit: {len(packages) - skipped} packages looked up, {skipped} not found, {len(found)} vulnerabilities known"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
