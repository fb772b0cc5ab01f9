//! An S0 header is read within its limits, and written as it was.
#![cfg_attr(fuzzing, no_main)]

use scale0::limits::Limits;
use scale0::protocol::scale0::{Header, HeaderError};

pub fn run(data: &[u8]) {
    let limits = Limits::default();
    if !data.starts_with(b"S0") {
        let marked = [b"S0\x01", data].concat();
        return run(&marked);
    }
    match Header::read(data, &limits) {
        Ok(header) => {
            assert!(data.len() <= limits.header);
            assert!(header.properties.iter().count() <= limits.properties);
            assert_eq!(header.frame(), data);
        }
        Err(HeaderError::Short { len, needed }) => assert!(len == data.len() && len < needed),
        Err(HeaderError::Long { len, limit }) => assert!(len == data.len() && len > limit),
        Err(HeaderError::Version { version }) => assert!(version != 1 && data[2] == version),
        Err(_) => {}
    }
}

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| run(data));
