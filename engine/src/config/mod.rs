//! One definition of each parameter: file, environment, flag, documentation.
