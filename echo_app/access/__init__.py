"""Who may talk: by address, by login, by certificate."""
