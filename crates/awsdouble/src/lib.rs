//! awsdouble.
