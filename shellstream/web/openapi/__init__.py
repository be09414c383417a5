"""C{/openapi.json}: the HTTP API for machines."""
