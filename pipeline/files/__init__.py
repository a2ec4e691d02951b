"""Files that are whole or not there (`atomic.py`), JSON with a checksum (`sealed_json.py`), damaged files."""
