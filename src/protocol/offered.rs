//! Names as workers offer them: of one service, of a version of it, or of all services that fit a
//! pattern.

use super::name::{Name, NameError, check_version};

impl Name {
    /// What an S0 worker may offer: a name that a client may ask for ([`Name::service`]), or a
    /// **wildcard** without a version: levels between dots, of which `*` is any one, and `>` as the
    /// last one any one or more.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn offer(bytes: &[u8]) -> Result<Self, NameError> {
        match Self::service(bytes) {
            Err(NameError::Reserved { .. }) => {}
            other => return other,
        }
        let mut levels = bytes.split(|byte| *byte == b'.').peekable();
        let mut plain = Vec::with_capacity(bytes.len());
        while let Some(level) = levels.next() {
            match level {
                b"*" => {}
                b">" if levels.peek().is_none() => {}
                _ if level.contains(&b'*') || level.contains(&b'>') => {
                    return Err(NameError::Wildcard);
                }
                _ => plain.extend_from_slice(level),
            }
        }
        // What is no mark obeys the rules of names, and has no version.
        if plain.contains(&b'@') {
            return Err(NameError::Wildcard);
        }
        if !plain.is_empty() {
            Self::service(&plain)?;
        }
        Ok(Self::new(bytes))
    }

    /// `name` of `name@version`, as S0 peers write it; `None` if there is no version.
    #[must_use]
    pub fn bare(&self) -> Option<Self> {
        let bytes = self.as_bytes();
        let at = bytes.iter().position(|byte| *byte == b'@')?;
        check_version(bytes).ok()?;
        bytes.get(..at).map(Self::new)
    }

    /// Whether an S0 worker that offers this means a pattern.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        let mut levels = self.as_bytes().split(|byte| *byte == b'.');
        levels.any(|level| level == b"*" || level == b">")
    }

    /// Whether a worker that offers this serves tasks for `asked`: it is the same name, a version of
    /// it, or a wildcard that it fits. What is asked for by its version is served by that version
    /// alone.
    #[must_use]
    pub fn serves(&self, asked: &Self) -> bool {
        if self == asked {
            return true;
        }
        if asked.bare().is_some() {
            return false;
        }
        self.bare().as_ref() == Some(asked) || self.is_wildcard() && self.fits(asked)
    }

    fn fits(&self, asked: &Self) -> bool {
        let mut name = asked.as_bytes().split(|byte| *byte == b'.');
        for level in self.as_bytes().split(|byte| *byte == b'.') {
            match (level, name.next()) {
                (_, None) => return false,
                (b">", Some(_)) => return true,
                (b"*", Some(_)) => {}
                (level, Some(there)) if level == there => {}
                _ => return false,
            }
        }
        name.next().is_none()
    }

    /// Of two wildcards that fit the same name the more specific one has the smaller rank: at the
    /// first level where they differ a name goes before `*`, and that before `>`.
    #[must_use]
    pub fn rank(&self) -> Vec<u8> {
        let levels = self.as_bytes().split(|byte| *byte == b'.');
        levels
            .map(|level| match level {
                b">" => 2,
                b"*" => 1,
                _ => 0,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(text: &str) -> Name {
        Name::offer(text.as_bytes()).unwrap()
    }

    #[test]
    fn an_offer_is_a_name_a_version_or_a_wildcard() {
        for text in [
            "echo",
            "echo@2",
            "echo@1.4-rc",
            "*",
            ">",
            "image.*",
            "image.>",
            "*.read.>",
        ] {
            assert_eq!(offer(text).as_bytes(), text.as_bytes());
        }
        for text in ["a*", "a.>.b", "image.*x", "image.*@2", "**", ">>"] {
            let error = Name::offer(text.as_bytes()).unwrap_err();
            assert_eq!(error, NameError::Wildcard, "{text}");
        }
        for text in ["", "@2", "a@", "a@b@c", "a b.*", "a;.*"] {
            assert!(Name::offer(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_wildcard_fits_whole_levels() {
        for (offered, asked, fits) in [
            ("image.*", "image.resize", true),
            ("image.*", "image.a.b", false),
            ("image.*", "image", false),
            ("image.>", "image.resize", true),
            ("image.>", "image.a.b", true),
            ("image.>", "image", false),
            ("*.read", "log.read", true),
            ("*.read", "log.write", false),
            (">", "x", true),
            ("*", "x.y", false),
            ("echo", "echo", true),
            ("echo", "echo2", false),
            ("image.*", "image.resize@2", false),
        ] {
            let asked_name = Name::from(asked);
            assert_eq!(
                offer(offered).serves(&asked_name),
                fits,
                "{offered} {asked}"
            );
        }
    }

    #[test]
    fn a_version_serves_its_own_name_and_the_bare_one() {
        let two = offer("echo@2");
        assert!(two.serves(&Name::from("echo")) && two.serves(&Name::from("echo@2")));
        assert!(!two.serves(&Name::from("echo@1")) && !offer("echo").serves(&Name::from("echo@2")));
        assert_eq!(
            (two.bare(), offer("echo").bare()),
            (Some(Name::from("echo")), None)
        );
    }

    #[test]
    fn the_most_specific_wildcard_ranks_first() {
        let mut all = ["image.>", "*.resize", "image.*", ">", "image.*.x", "*"].map(offer);
        all.sort_by_key(Name::rank);
        let order: Vec<String> = all.iter().map(Name::to_string).collect();
        assert_eq!(
            order,
            ["image.*", "image.*.x", "image.>", "*", "*.resize", ">"]
        );
    }
}
