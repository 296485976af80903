"""The small server beside the web UI: what needs a person, pictures, reports and metrics, read-only."""

from atlaspatch_assets.pages.app import build_app as build_app
