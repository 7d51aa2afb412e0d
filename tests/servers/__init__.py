"""The real servers that tests run against: MariaDB with its replica, a browser, the AWS emulator."""
