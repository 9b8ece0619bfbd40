"""Version 1 of the APIs between the services, generated from sample_services/proto by its generate.sh."""
