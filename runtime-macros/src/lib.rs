//! The macros of sylvan.
