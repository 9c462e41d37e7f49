//! Values that follow from a seed, the same as `go/cmd/go-gob-peer/made.go` makes: what is drawn, and in
//! which order, is the same in both.

use std::collections::HashMap;
use std::fmt::Debug;

use outboard_gob::{
    BigInt, BinaryBytes, Complex, Decode, Encode, Encoder, Error, Gob, GobBytes, Received, Time,
    Value,
};

#[derive(Gob, Clone, Debug, Default, PartialEq)]
struct Inner {
    name: String,
    size: i64,
    parts: Vec<Self>,
}

#[derive(Gob, Debug, PartialEq)]
struct Scalars {
    a: i8,
    b: i16,
    c: i32,
    d: i64,
    e: isize,
    f: u8,
    g: u16,
    h: u32,
    i: u64,
    j: usize,
    k: f32,
    l: f64,
    m: bool,
    n: Complex<f32>,
    o: Complex<f64>,
    p: String,
    q: Vec<u8>,
}

#[derive(Gob, Debug, Default, PartialEq)]
struct Nested {
    inner: Inner,
    pointer: Option<Box<Inner>>,
    number: Option<i64>,
    list: Vec<Inner>,
    rows: Vec<Vec<i32>>,
    map: HashMap<String, Inner>,
    counts: HashMap<i64, HashMap<String, bool>>,
    array: [u16; 3],
    inners: [Inner; 2],
    empty: (),
    nil: Option<HashMap<String, i8>>,
}

#[derive(Gob, Debug, PartialEq)]
struct Anything {
    any: Value,
    list: Vec<Value>,
    map: HashMap<String, Value>,
    after: isize,
}

#[derive(Gob, Debug, PartialEq)]
struct Moments {
    when: Time,
    pointer: Option<Time>,
    big: Option<BigInt>,
    bigs: Vec<BigInt>,
}

#[derive(Gob, Debug, PartialEq)]
struct Opaque {
    coded: GobBytes,
    binary: BinaryBytes,
    list: Vec<GobBytes>,
}

/// What the other end knows with other fields, in another order and of other widths.
#[derive(Gob, Debug, PartialEq)]
struct There {
    same: String,
    c: f64,
    missing: HashMap<String, Inner>,
    a: i8,
}

/// A value of some type.
pub(crate) trait Made {
    /// Sends it.
    fn send(&self, encoder: &mut Encoder, out: &mut Vec<u8>) -> Result<(), Error>;

    /// Whether it was received.
    fn check(&self, received: &mut Received<'_>) -> Result<(), String>;
}

struct Same<T>(T);

impl<T: Encode + Decode + Debug + PartialEq> Made for Same<T> {
    fn send(&self, encoder: &mut Encoder, out: &mut Vec<u8>) -> Result<(), Error> {
        encoder.encode(&self.0, out)
    }

    fn check(&self, received: &mut Received<'_>) -> Result<(), String> {
        let value: T = received.decode().map_err(|error| error.to_string())?;
        if value == self.0 {
            Ok(())
        } else {
            Err(format!("expected {:?}, received {value:?}", self.0))
        }
    }
}

/// Sent as the one, received as the other.
struct Differs(There, There);

impl Made for Differs {
    fn send(&self, encoder: &mut Encoder, out: &mut Vec<u8>) -> Result<(), Error> {
        encoder.encode(&self.0, out)
    }

    fn check(&self, received: &mut Received<'_>) -> Result<(), String> {
        let value: There = received.decode().map_err(|error| error.to_string())?;
        if value == self.1 {
            Ok(())
        } else {
            Err(format!("expected {:?}, received {value:?}", self.1))
        }
    }
}

/// Where values come from: splitmix64.
pub(crate) struct Source(pub(crate) u64);

impl Source {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = self.0;
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn flag(&mut self) -> bool {
        self.below(2) == 1
    }

    /// A number of any size, often zero.
    fn uint(&mut self) -> u64 {
        if self.below(5) == 0 {
            return 0;
        }
        let shift = self.below(64);
        self.next() >> shift
    }

    fn int(&mut self) -> i64 {
        let is_negative = self.flag();
        let value = (self.uint() >> 1) as i64;
        if is_negative { !value } else { value }
    }

    fn float(&mut self) -> f64 {
        if self.below(4) == 0 {
            return 0.0;
        }
        f64::from(self.int() as i32) / 8.0
    }

    fn narrow(&mut self) -> f32 {
        self.float() as f32
    }

    fn complex(&mut self) -> Complex<f64> {
        let re = self.float();
        Complex {
            re,
            im: self.float(),
        }
    }

    /// As many as are drawn, below `n`.
    fn several<T>(&mut self, n: u64, mut each: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let count = self.below(n);
        (0..count).map(|_| each(self)).collect()
    }

    fn text(&mut self) -> String {
        let letters: Vec<char> = "abcäß✓\n 𝄞\0".chars().collect();
        let letter = |source: &mut Self| letters[source.below(letters.len() as u64) as usize];
        self.several(9, letter).into_iter().collect()
    }

    fn bytes(&mut self) -> Vec<u8> {
        self.several(200, |source| source.next() as u8)
    }

    fn inner(&mut self, depth: u32) -> Inner {
        let mut inner = Inner {
            name: self.text(),
            size: self.int(),
            parts: Vec::new(),
        };
        if depth > 0 {
            inner.parts = self.several(3, |source| source.inner(depth - 1));
        }
        inner
    }

    fn scalars(&mut self) -> Scalars {
        Scalars {
            a: self.int() as i8,
            b: self.int() as i16,
            c: self.int() as i32,
            d: self.int(),
            e: self.int() as isize,
            f: self.uint() as u8,
            g: self.uint() as u16,
            h: self.uint() as u32,
            i: self.uint(),
            j: self.uint() as usize,
            k: self.narrow(),
            l: self.float(),
            m: self.flag(),
            n: Complex {
                re: self.narrow(),
                im: self.narrow(),
            },
            o: self.complex(),
            p: self.text(),
            q: self.bytes(),
        }
    }

    fn nested(&mut self) -> Nested {
        Nested {
            inner: self.inner(2),
            pointer: self.flag().then(|| Box::new(self.inner(1))),
            // A pointer to zero arrives as nil.
            number: Some(self.int()).filter(|number| *number != 0),
            list: self.several(3, |source| source.inner(1)),
            rows: self.several(3, |source| source.several(4, |source| source.int() as i32)),
            map: self
                .several(3, |source| (source.text(), source.inner(1)))
                .into_iter()
                .collect(),
            counts: self
                .several(3, |source| {
                    let key = source.int();
                    let counts = source.several(3, |source| (source.text(), source.flag()));
                    (key, counts.into_iter().collect())
                })
                .into_iter()
                .collect(),
            array: [self.uint() as u16, self.uint() as u16, self.uint() as u16],
            inners: [self.inner(1), self.inner(0)],
            empty: (),
            nil: self.flag().then(HashMap::new),
        }
    }

    fn any(&mut self, depth: u32) -> Value {
        let of = |value: Result<Value, Error>| value.expect("a value");
        match self.below(17) {
            0 => self.flag().into(),
            1 => (self.int() as isize).into(),
            2 => (self.int() as i8).into(),
            3 => (self.int() as i32).into(),
            4 => self.uint().into(),
            5 => (self.uint() as u8).into(),
            6 => self.narrow().into(),
            7 => self.float().into(),
            8 => self.text().into(),
            9 => self.bytes().into(),
            10 => self.complex().into(),
            11 => of(Value::of(&self.several(4, Self::text))),
            12 => of(Value::named("example.com/made.Inner", &self.inner(1))),
            13 => of(Value::named("time.Time", &self.time())),
            14 if depth > 0 => of(Value::of(&self.anys(depth - 1))),
            15 if depth > 0 => of(Value::of(&self.any_map(depth - 1))),
            _ => Value::Nil,
        }
    }

    fn anys(&mut self, depth: u32) -> Vec<Value> {
        self.several(4, |source| source.any(depth))
    }

    fn any_map(&mut self, depth: u32) -> HashMap<String, Value> {
        let entries = self.several(4, |source| (source.text(), source.any(depth)));
        entries.into_iter().collect()
    }

    fn time(&mut self) -> Time {
        let seconds = self.int() >> 20;
        let moment = Time::from_unix(seconds, self.below(1_000_000_000) as u32);
        match self.below(4) {
            0 => Time::default(),
            1 => moment.with_offset(Some(self.below(1000) as i32 * 60)),
            2 => moment.with_offset(Some(self.below(40_000) as i32)),
            _ => moment,
        }
    }

    fn big(&mut self) -> BigInt {
        let magnitude = self.bytes();
        BigInt::from_bytes(self.flag(), &magnitude)
    }

    pub(crate) fn value(&mut self) -> Box<dyn Made> {
        match self.below(22) {
            0 => Box::new(Same(self.flag())),
            1 => Box::new(Same(self.int())),
            2 => Box::new(Same(self.uint() as u32)),
            3 => Box::new(Same(self.float())),
            4 => Box::new(Same(self.narrow())),
            5 => Box::new(Same(self.complex())),
            6 => Box::new(Same(self.text())),
            7 => Box::new(Same(self.bytes())),
            8 => Box::new(Same(self.several(5, Self::text))),
            9 => Box::new(Same(self.several(5, |source| source.int() as i16))),
            10 => Box::new(Same([
                self.uint() as u8,
                self.uint() as u8,
                self.uint() as u8,
            ])),
            11 => {
                let entries = self.several(5, |source| (source.text(), source.int() as i32));
                Box::new(Same(entries.into_iter().collect::<HashMap<_, _>>()))
            }
            12 => Box::new(Same(self.scalars())),
            13 => Box::new(Same(self.nested())),
            14 => Box::new(Same(self.inner(3))),
            15 => Box::new(Same(Anything {
                any: self.any(2),
                list: self.anys(2),
                map: self.any_map(2),
                after: self.int() as isize,
            })),
            16 => Box::new(Same(self.any_map(2))),
            17 => Box::new(Same(self.any(2))),
            18 => Box::new(Same(())),
            19 => Box::new(Same(Moments {
                when: self.time(),
                pointer: self.flag().then(|| self.time()),
                big: self.flag().then(|| self.big()),
                bigs: self.several(3, Self::big),
            })),
            20 => Box::new(Same(Opaque {
                coded: GobBytes(self.bytes()),
                binary: BinaryBytes(self.bytes()),
                list: self.several(3, |source| GobBytes(source.bytes())),
            })),
            _ => {
                // Those that are not used here are of the other end alone.
                self.any(1);
                let a = self.int() as i8;
                self.anys(1);
                let c = f64::from(self.narrow());
                let d = self.inner(1);
                let same = self.text();
                let there = |missing| There {
                    same: same.clone(),
                    c,
                    missing,
                    a,
                };
                let sent = there(HashMap::from([("d".to_owned(), d)]));
                Box::new(Differs(sent, there(HashMap::new())))
            }
        }
    }
}
