"""The embedded servers of one machine: Postgres, Valkey, and the processes of `radiant up`."""
