"""Access control: rules by network, logins, and certificates of clients."""
