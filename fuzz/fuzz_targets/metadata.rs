//! Property lists are read to their end or not at all, and what is written is read back.
#![cfg_attr(fuzzing, no_main)]

use scale0::limits::Limits;
use scale0::wire::{Metadata, Properties};

pub fn run(data: &[u8]) {
    let limits = Limits::default();
    if let Ok(metadata) = Metadata::read(data, &limits) {
        assert!(metadata.identity.len() <= 255);
        assert!(metadata.others.len() < limits.metadata_properties);
        // Names that are no text are a peer's only: we write none.
        if metadata.others.iter().all(|(name, _)| name.is_ascii()) {
            assert_eq!(Metadata::read(&metadata.write(), &limits), Ok(metadata));
        }
    }
    for most in [0, 1, 16] {
        let Ok(properties) = Properties::read(data, most) else {
            continue;
        };
        assert_eq!(properties.wire(), data);
        let sizes = properties
            .iter()
            .map(|(name, value)| 5 + name.len() + value.len());
        assert_eq!(sizes.sum::<usize>(), data.len());
        assert!(properties.iter().count() <= most);
        for (name, _) in properties.iter() {
            if let Ok(name) = std::str::from_utf8(name) {
                assert!(properties.find(&name.to_ascii_uppercase()).is_some());
            }
        }
    }
}

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| run(data));
