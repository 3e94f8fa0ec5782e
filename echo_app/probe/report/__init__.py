"""Results for people: text, tables, pictures and pages."""
