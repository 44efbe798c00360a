//! A source on memory of the test, with listeners that the test is.
