//! `scale0 keygen`

use scale0::auth::write_pair;
use scale0::net::entropy;
use scale0::security::curve::{KeyPair, SecretKey};
use zeroize::Zeroizing;

use crate::commands::KeygenArguments;
use crate::exit::{Failed, Outcome};
use crate::output::print;

pub(crate) fn run(arguments: &KeygenArguments) -> Outcome {
    let random = Zeroizing::new(entropy()?);
    let pair = KeyPair::new(SecretKey::from_bytes(*random));
    let Some(name) = &arguments.out else {
        let secret = pair.secret.to_z85();
        let mut text = Zeroizing::new(String::with_capacity(256));
        for piece in [
            "public-key = \"",
            &pair.public.to_string(),
            "\"\nsecret-key = \"",
            &secret,
            "\"\n",
        ] {
            text.push_str(piece);
        }
        return print(text.as_bytes());
    };
    if name.file_name().is_none() {
        return Err(Failed::Usage(format!(
            "`{}` names no file: keys need a name, like keys/alice",
            name.display()
        )));
    }
    let (public, secret) = write_pair(name, &pair).map_err(Failed::error)?;
    print(format!(
        "{}: the public key, to hand over\n{}: the secret key, to keep\n",
        public.display(),
        secret.display()
    ))
}
