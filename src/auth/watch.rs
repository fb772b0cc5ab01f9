//! Files change while nobody tells us: a thread looks at them every second, so that a slow disk
//! never holds up those who ask who may come in.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::notice::Notice;

/// A thread that looks again and again. Dropping it ends it, and waits for that.
#[derive(Debug)]
pub(super) struct Watch {
    stop: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

/// Says each notice once for as long as it is true.
pub(super) struct Teller {
    say: Box<dyn Fn(&Notice) + Send + Sync>,
    said: Mutex<BTreeSet<String>>,
}

impl Watch {
    /// Calls `look` every second from now on.
    pub(super) fn start(look: impl Fn() + Send + 'static) -> io::Result<Self> {
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        let told = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("watch".to_owned())
            .spawn(move || {
                while !is_over(&told) {
                    // Whoever hears notices may panic. If that ended the watch, nobody would be
                    // cut off any more.
                    let _ = catch_unwind(AssertUnwindSafe(&look));
                }
            })?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

/// Waits for the next look; whether there is none.
fn is_over((stop, woken): &(Mutex<bool>, Condvar)) -> bool {
    let stop = stop.lock().unwrap_or_else(PoisonError::into_inner);
    let (stop, _) = woken
        .wait_timeout_while(stop, EVERY, |stop| !*stop)
        .unwrap_or_else(PoisonError::into_inner);
    *stop
}

impl Drop for Watch {
    fn drop(&mut self) {
        let (stop, woken) = &*self.stop;
        *stop.lock().unwrap_or_else(PoisonError::into_inner) = true;
        woken.notify_all();
        if let Some(thread) = self.thread.take() {
            // It cannot have panicked.
            let _ = thread.join();
        }
    }
}

impl Teller {
    pub(super) fn new(say: impl Fn(&Notice) + Send + Sync + 'static) -> Self {
        Self {
            say: Box::new(say),
            said: Mutex::default(),
        }
    }

    /// All that is true now.
    pub(super) fn tell<'a>(&self, notices: impl IntoIterator<Item = &'a Notice>) {
        let mut now = BTreeSet::new();
        let mut new = Vec::new();
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        for notice in notices {
            let text = notice.to_string();
            if !said.contains(&text) && !now.contains(&text) {
                new.push(notice);
            }
            now.insert(text);
        }
        *said = now;
        // Whoever hears it may want to know more, and ask us.
        drop(said);
        for notice in new {
            (self.say)(notice);
        }
    }
}

impl fmt::Debug for Teller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Teller").finish_non_exhaustive()
    }
}

/// A change is seen within a second, and those whom it concerns are cut off within another.
const EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_watch_goes_on_after_a_panic_and_ends_with_its_owner() {
        let (looked, looks) = mpsc::channel();
        let watch = Watch::start(move || {
            looked.send(()).unwrap();
            panic!("on purpose");
        })
        .unwrap();
        looks.recv().unwrap();
        looks.recv().unwrap();
        drop(watch);
        // The thread has ended and dropped its end of the channel.
        while looks.try_recv().is_ok() {}
        assert_eq!(looks.try_recv(), Err(mpsc::TryRecvError::Disconnected));
    }

    #[test]
    fn a_notice_is_said_once_while_it_is_true() {
        let said = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&said);
        let teller = Teller::new(move |notice| heard.lock().unwrap().push(notice.to_string()));
        let notice = |name: &str| Notice::Secret { path: name.into() };
        teller.tell(&[notice("a"), notice("a")]);
        teller.tell(&[notice("a"), notice("b")]);
        teller.tell(&[notice("b")]);
        teller.tell(&[notice("b"), notice("a")]);
        let said: Vec<String> = said
            .lock()
            .unwrap()
            .iter()
            .map(|text| text[..1].to_owned())
            .collect();
        assert_eq!(said, ["a", "b", "a"]);
    }
}
