"""Study files: many searches that differ in some fields of their inputs."""
