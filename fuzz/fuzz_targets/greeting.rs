//! A greeting reads the same however it is cut, and what is read can be written.
#![cfg_attr(fuzzing, no_main)]

use scale0::wire::Greeting;

pub fn run(data: &[u8]) {
    let whole = Greeting::read(data);
    for cut in 0..data.len().min(Greeting::LEN + 1) {
        match Greeting::read(&data[..cut]) {
            Ok(None) => {}
            // Nothing that comes later changes what has been said.
            said => assert_eq!(said, whole, "cut at {cut}"),
        }
    }
    if let Ok(Some(greeting)) = whole {
        assert!(data.len() >= Greeting::LEN);
        assert_eq!(Greeting::read(&greeting.write()), Ok(Some(greeting)));
    }
}

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| run(data));
