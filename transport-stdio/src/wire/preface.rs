//! What each side sends before its first frame: magic, version, settings.

use super::limits::{MESSAGE_COST, VERSION};
use super::violation::Violation;

/// The first eight bytes. A byte above 127, CR LF, LF and an end-of-file character in it show at
/// once when something on the way treats the bytes as text (the idea of PNG's signature).
pub const MAGIC: [u8; 8] = *b"\x89OBS\r\n\x1a\n";
/// The length of the preface up to its settings, in bytes.
pub const PREFACE_LEN: usize = 12;
/// The most bytes of settings: 100 of them, far more than there are.
const MAX_SETTINGS_LEN: usize = 600;
/// How much of something else goes into the message about it: enough to recognise a print.
const MOST_FOUND: usize = 32;
/// The id of the setting that announces names.
const NAMES: u16 = 7;

/// All that a side sends before its first frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preface {
    /// What the sender is ready to take.
    pub settings: Settings,
    /// Whether the first frame has the names under which the sender provides interfaces.
    pub names: bool,
}

/// What one side is ready to take. Before a peer's settings are known, [`Settings::LEAST`] holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The longest payload of a frame, in bytes.
    pub max_frame: u32,
    /// The credit each stream starts with.
    pub stream_window: u32,
    /// The credit the connection starts with.
    pub connection_window: u32,
    /// How many streams the peer may have open.
    pub max_streams: u32,
    /// The longest message, in bytes.
    pub max_message: u32,
    /// The longest head of a call, its headers or its status that is taken in parts, in bytes; 0 for
    /// none.
    pub max_head: u32,
}

impl Settings {
    /// What every implementation must take, and so what may be used before its settings came.
    pub const LEAST: Self = Self {
        max_frame: 16_384,
        stream_window: 65_536,
        connection_window: 65_536,
        max_streams: 16,
        // A message over the limit fails its call only, so there is nothing to guard against.
        max_message: i32::MAX as u32,
        max_head: 0,
    };
    const MOST: Self = Self {
        // The length of a payload has 24 bits.
        max_frame: (1 << 24) - 1,
        stream_window: i32::MAX as u32,
        connection_window: i32::MAX as u32,
        // Far below the 24 bits of a stream's number: both sides keep tables of this size.
        max_streams: 1 << 16,
        max_message: i32::MAX as u32,
        // As for a frame.
        max_head: (1 << 24) - 1,
    };

    /// The least credit for a stream: as credit goes back by half a window, half of it must
    /// suffice for any message that fits a frame, or both sides could wait for ever.
    fn least_window(self) -> u32 {
        2 * (self.max_frame + MESSAGE_COST)
    }

    fn fields(&mut self) -> [&mut u32; 6] {
        [
            &mut self.max_frame,
            &mut self.stream_window,
            &mut self.connection_window,
            &mut self.max_streams,
            &mut self.max_message,
            &mut self.max_head,
        ]
    }

    /// The nearest settings that the protocol allows.
    #[must_use]
    pub fn clamped(mut self) -> Self {
        let (mut least, mut most) = (Self::LEAST, Self::MOST);
        least.max_message = 0;
        for ((value, least), most) in self
            .fields()
            .into_iter()
            .zip(least.fields())
            .zip(most.fields())
        {
            *value = (*value).clamp(*least, *most);
        }
        self.stream_window = self.stream_window.max(self.least_window());
        self.connection_window = self.connection_window.max(self.stream_window);
        self
    }

    /// Appends the preface with these settings, which announces no names.
    pub fn encode(self, out: &mut Vec<u8>) {
        let names = false;
        Preface {
            settings: self,
            names,
        }
        .encode(out);
    }

    fn set(&mut self, id: u16, value: u32) -> Result<(), Violation> {
        let Some(index) = usize::from(id).checked_sub(1) else {
            return Ok(());
        };
        let (mut least, mut most) = (Self::LEAST, Self::MOST);
        least.max_message = 0;
        let limits = least.fields().into_iter().zip(most.fields());
        for (position, (field, (least, most))) in self.fields().into_iter().zip(limits).enumerate()
        {
            if position != index {
                continue;
            }
            if value < *least || value > *most {
                return Err(Violation::BadSetting {
                    id,
                    value,
                    least: *least,
                    most: *most,
                });
            }
            *field = value;
        }
        // Settings of a later minor version are skipped.
        Ok(())
    }
}

impl Preface {
    /// Appends the preface.
    pub fn encode(mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[VERSION.0, VERSION.1]);
        let names = self.names.then_some((NAMES, 1));
        let fields = self.settings.fields().map(|value| *value);
        let entries: Vec<_> = (1u16..).zip(fields).chain(names).collect();
        let len = u16::try_from(entries.len() * 6).unwrap_or_default();
        out.extend_from_slice(&len.to_le_bytes());
        for (id, value) in entries {
            out.extend_from_slice(&id.to_le_bytes());
            out.extend_from_slice(&value.to_le_bytes());
        }
    }

    /// Reads a preface from the front of `bytes`: what it says and its length, or `None` if more
    /// bytes are needed.
    ///
    /// # Errors
    /// A [`Violation`] as soon as the bytes cannot become a preface that this side understands.
    pub fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>, Violation> {
        // Whoever sent something else may send no more, so the first wrong byte is enough.
        if bytes
            .iter()
            .zip(MAGIC)
            .any(|(got, expected)| *got != expected)
        {
            let found = bytes.iter().take(MOST_FOUND).copied().collect();
            return Err(Violation::BadMagic { found });
        }
        if let Some(&major) = bytes.get(MAGIC.len())
            && major != VERSION.0
        {
            return Err(Violation::Version { major });
        }
        let Some(&[.., l0, l1]) = bytes.first_chunk::<PREFACE_LEN>() else {
            return Ok(None);
        };
        let len = usize::from(u16::from_le_bytes([l0, l1]));
        if len % 6 != 0 || len > MAX_SETTINGS_LEN {
            return Err(Violation::BadSettings { len });
        }
        let Some(list) = bytes.get(PREFACE_LEN..PREFACE_LEN + len) else {
            return Ok(None);
        };
        let (mut settings, mut names) = (Settings::LEAST, false);
        for entry in list.chunks_exact(6) {
            let &[i0, i1, v0, v1, v2, v3] = entry else {
                continue;
            };
            let (id, value) = (
                u16::from_le_bytes([i0, i1]),
                u32::from_le_bytes([v0, v1, v2, v3]),
            );
            match (id, value) {
                (NAMES, 0 | 1) => names = value == 1,
                (NAMES, _) => {
                    let (least, most) = (0, 1);
                    return Err(Violation::BadSetting {
                        id,
                        value,
                        least,
                        most,
                    });
                }
                _ => settings.set(id, value)?,
            }
        }
        let least = settings.least_window();
        if settings.stream_window < least {
            return Err(Violation::BadSetting {
                id: 2,
                value: settings.stream_window,
                least,
                most: Settings::MOST.stream_window,
            });
        }
        if settings.connection_window < settings.stream_window {
            return Err(Violation::BadSetting {
                id: 3,
                value: settings.connection_window,
                least: settings.stream_window,
                most: Settings::MOST.connection_window,
            });
        }
        Ok(Some((Self { settings, names }, PREFACE_LEN + len)))
    }
}
