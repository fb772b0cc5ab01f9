//! Things that are found by a small number, which is used again when they are gone.

/// Numbers stay dense, so that arrays beside the table stay short.
#[derive(Debug)]
pub(crate) struct Table<T> {
    places: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Table<T> {
    /// Puts a thing in and tells its number. The bounds of the house keep tables far below 2^32.
    pub(crate) fn insert(&mut self, thing: T) -> u32 {
        if let Some(number) = self.free.pop() {
            if let Some(place) = self.places.get_mut(number as usize) {
                *place = Some(thing);
            }
            return number;
        }
        let number = u32::try_from(self.places.len()).unwrap_or(u32::MAX - 1);
        self.places.push(Some(thing));
        number
    }

    pub(crate) fn get(&self, number: u32) -> Option<&T> {
        self.places.get(number as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.places.get_mut(number as usize)?.as_mut()
    }

    pub(crate) fn remove(&mut self, number: u32) -> Option<T> {
        let thing = self.places.get_mut(number as usize)?.take()?;
        self.freed(number);
        Some(thing)
    }

    /// The same where the thing is large and nobody wants it.
    pub(crate) fn discard(&mut self, number: u32) {
        if let Some(place) = self
            .places
            .get_mut(number as usize)
            .filter(|place| place.is_some())
        {
            *place = None;
            self.freed(number);
        }
    }

    fn freed(&mut self, number: u32) {
        self.free.push(number);
        if self.places.len() > KEEP && self.len() == 0 {
            // A crowd has come and gone: give its memory back.
            *self = Self::default();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// All things with their numbers, in the numbers' order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..)
            .zip(&self.places)
            .filter_map(|(number, place)| Some((number, place.as_ref()?)))
    }
}

/// Places that an empty table keeps.
const KEEP: usize = 64;
