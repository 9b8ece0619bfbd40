"""The marketplace: services that each own a database, and checkouts that cross all of them in one transaction."""
