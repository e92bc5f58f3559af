//! The URLs of stores on servers and in databases, as an operator writes them. Whatever stands there is
//! understood or refused, without a connection and without a panic; what is refused is a mistake of
//! configuration, and its error repeats no password.

#![no_main]

use std::error::Error as _;
use std::fmt::Write as _;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use sessile::{Error, ErrorKind, store};
use sessile_fuzz::wait;

const SCHEMES: [&str; 6] = ["postgres", "mysql", "sqlite", "redis", "redis+cluster", "redis+unix"];

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    scheme: u8,
    shape: Shape<'a>,
}

#[derive(Arbitrary, Debug)]
enum Shape<'a> {
    /// Anything behind the scheme's colon.
    Text(&'a str),
    /// The parts that a URL has, with a password that somebody forgot to encode.
    Parts { bare: u8, host: &'a str, path: &'a str, query: &'a str },
}

/// What a password is made of, around one letter that has a meaning in URLs.
const PASSWORD: [&str; 2] = ["S3cret", "0f-nobody"];
const BARE: [char; 8] = ['?', '#', '/', ':', '@', '&', '=', '%'];

fuzz_target!(|input: Input| {
    let scheme = SCHEMES[usize::from(input.scheme) % SCHEMES.len()];
    let url = match input.shape {
        Shape::Text(text) => format!("{scheme}:{text}"),
        Shape::Parts { bare, host, path, query } => {
            let bare = BARE[usize::from(bare) % BARE.len()];
            let [one, two] = PASSWORD;
            format!("{scheme}://ann:{one}{bare}{two}@{host}/{path}?{query}")
        }
    };
    if let Err(refused) = wait(async { store::open(&url).map(drop) }) {
        assert_eq!(refused.kind(), ErrorKind::Config, "{refused:?}");
        let told = told(&refused);
        assert!(!PASSWORD.iter().any(|part| told.contains(part)), "it tells a password: {told}");
    }
});

/// All that a log could have of an error.
fn told(error: &Error) -> String {
    let mut told = format!("{error} {error:?}");
    let mut source = error.source();
    while let Some(cause) = source {
        write!(told, " {cause} {cause:?}").expect("a text takes what is written");
        source = cause.source();
    }
    told
}
