"""The global transaction manager: it orders the transactions that touch several realms."""
