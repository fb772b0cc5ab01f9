//! Property lists are read to their end or not at all, and what is written is read back.
#![cfg_attr(fuzzing, no_main)]

use scale0::limits::Limits;
use scale0::wire::{Metadata, Properties};

pub fn run(data: &[u8]) {
    let limits = Limits::default();
    if let Ok(mut metadata) = Metadata::read(data, &limits) {
        assert!(metadata.identity.len() <= 255);
        assert!(metadata.others.len() < limits.metadata_properties);
        // What only a peer does: names that are no text, and an identity of a type that states
        // none. We may state an empty one, so there is to be room for it.
        if !metadata.kind.states_identity() {
            metadata.identity.clear();
        }
        let room = metadata.others.len() + 2 <= limits.metadata_properties;
        if room && metadata.others.iter().all(|(name, _)| name.is_ascii()) {
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
