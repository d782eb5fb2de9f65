"""The shipped detector in the interface of the shared evaluation rig."""
