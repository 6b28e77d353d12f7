"""A WebDAV share on httpx and raw expat. Way in: `client`; then `session` (HTTP), `metadata` and `propfind` (PROPFIND
and its answers), `xml`, `download` (content). No other room of drivefs imports httpx for a share, or sees its errors.
"""
