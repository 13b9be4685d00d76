// Regenerates the parts of the documentation that are made from the code; --check fails when one is stale.
