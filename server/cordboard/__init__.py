"""Cordboard: safe changes of which voice agent answers which phone number."""
