"""Download a bundle's .zip into /bundles, and refuse it if its sha256 is another: URL SHA256 TARGET."""

import hashlib
import os
import sys
import urllib.request
from http.client import HTTPException

url, expected, target = sys.argv[1:]
digest = hashlib.sha256()
temporary = f"{target}.part"
try:
    with urllib.request.urlopen(url, timeout=60) as response, open(temporary, "wb") as file:
        while block := response.read(1 << 20):
            digest.update(block)
            file.write(block)
except (OSError, ValueError, HTTPException) as error:
    sys.exit(f"the bundle could not be downloaded: {error}")
if digest.hexdigest() != expected:
    os.unlink(temporary)
    sys.exit(f"the downloaded bundle has the sha256 {digest.hexdigest()}, expected {expected}")
os.replace(temporary, target)
