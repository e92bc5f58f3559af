//! Records as bytes: one envelope for every store. Pure.
//!
//! An envelope is a head of 56 bytes and a body. The head never changes its size, its magic, its
//! format number or its checksum, so that a release recognises a record of a *newer* format and
//! leaves it alone. `docs/file_format.md` describes every byte.
//!
//! The decoder takes any input: it never panics, allocates no more than the input is long, and
//! gives a record only for the one spelling that the encoder writes.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use xxhash_rust::xxh3::xxh3_64;

use crate::clock::{from_millis, millis, truncated};
use crate::error::{Error, ErrorKind, Result};
use crate::record::{Data, Owner, PreviousSecret, RETIRED_MAX, Record, RetiredSecret, Version};
use crate::token::{SecretHash, SessionId};

/// The length of every head, in all formats.
pub(crate) const HEAD_BYTES: usize = 56;

const MAGIC: &[u8; 4] = b"sess";
const FORMAT: u16 = 1;

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// They are not what any release wrote.
    Damaged,
    /// A newer release wrote them.
    Newer,
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Damaged => Self::new(ErrorKind::Corrupt, "the record is damaged"),
            Refusal::Newer => newer_format(),
        }
    }
}

pub(crate) fn newer_format() -> Error {
    let doing = "the record was written by a newer release of sessile; upgrade this one";
    Error::new(ErrorKind::NewerFormat, doing)
}

/// Where the body of a record lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Right behind the head.
    Inline,
    /// In a region of the same file that begins at this page of 4096 bytes.
    Tail {
        /// Invariant: not 0, where the heads lie.
        page: u32,
    },
    /// Nowhere: the session ended.
    Tombstone,
}

/// What stands before every body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) version: Version,
    pub(crate) id: SessionId,
    pub(crate) place: Place,
    pub(crate) body_bytes: u32,
    pub(crate) body_check: u64,
}

const FLAG_TOMBSTONE: u16 = 1;
const FLAG_TAIL: u16 = 2;

impl Head {
    /// The head of a record with this body.
    pub(crate) fn new(id: SessionId, version: Version, body: &[u8], place: Place) -> Self {
        let body_bytes = u32::try_from(body.len()).expect("the encoder bounds every body");
        Self { version, id, place, body_bytes, body_check: xxh3_64(body) }
    }

    /// The head that says the session ended.
    #[cfg(any(test, feature = "file"))]
    pub(crate) fn tombstone(id: SessionId, version: Version) -> Self {
        Self::new(id, version, &[], Place::Tombstone)
    }

    /// The version that bytes claim before anything about them was checked.
    #[cfg(feature = "file")]
    pub(crate) fn claimed_version(bytes: &[u8]) -> u64 {
        bytes.get(8..16).map_or(0, le_u64)
    }

    pub(crate) fn encode(&self) -> [u8; HEAD_BYTES] {
        let (flags, tail_page) = match self.place {
            Place::Inline => (0, 0),
            Place::Tail { page } => (FLAG_TAIL, page),
            Place::Tombstone => (FLAG_TOMBSTONE, 0),
        };
        let mut bytes = [0; HEAD_BYTES];
        bytes[..4].copy_from_slice(MAGIC);
        bytes[4..6].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[6..8].copy_from_slice(&flags.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.version.get().to_le_bytes());
        bytes[16..32].copy_from_slice(self.id.as_bytes());
        bytes[32..36].copy_from_slice(&self.body_bytes.to_le_bytes());
        bytes[36..40].copy_from_slice(&tail_page.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.body_check.to_le_bytes());
        let check = xxh3_64(&bytes[..48]);
        bytes[48..].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    /// Reads the head at the front of `bytes`.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Refusal> {
        let bytes = bytes.get(..HEAD_BYTES).ok_or(Refusal::Damaged)?;
        // Damage must not look like a newer format: the checksum speaks before the format does.
        if &bytes[..4] != MAGIC || le_u64(&bytes[48..]) != xxh3_64(&bytes[..48]) {
            return Err(Refusal::Damaged);
        }
        match le_u16(&bytes[4..6]) {
            FORMAT => Self::decode_format_1(bytes),
            newer if newer > FORMAT => Err(Refusal::Newer),
            _ => Err(Refusal::Damaged),
        }
    }

    fn decode_format_1(bytes: &[u8]) -> Result<Self, Refusal> {
        let body_bytes = le_u32(&bytes[32..36]);
        let place = match (le_u16(&bytes[6..8]), le_u32(&bytes[36..40]), body_bytes) {
            (0, 0, _) => Place::Inline,
            (FLAG_TAIL, page @ 1.., _) => Place::Tail { page },
            (FLAG_TOMBSTONE, 0, 0) => Place::Tombstone,
            _ => return Err(Refusal::Damaged),
        };
        Ok(Self {
            version: Version::new(le_u64(&bytes[8..16])),
            id: SessionId::from_bytes(array(&bytes[16..32])),
            place,
            body_bytes,
            body_check: le_u64(&bytes[40..48]),
        })
    }

    /// Whether `body` is the one this head was written for.
    pub(crate) fn fits(&self, body: &[u8]) -> bool {
        self.body_bytes as usize == body.len() && self.body_check == xxh3_64(body)
    }

    /// Reads the record whose body this is. Its values are slices of `body`, not copies.
    pub(crate) fn record(&self, body: &Bytes) -> Result<Record, Refusal> {
        if !self.fits(body) {
            return Err(Refusal::Damaged);
        }
        Reader { bytes: body, at: 0 }.record(self).ok_or(Refusal::Damaged)
    }
}

impl Record {
    /// The record in the crate's own binary format, with its version, its ID and checksums.
    ///
    /// For stores that keep a record as one value. The format is described in `docs/file_format.md`;
    /// every later release reads it.
    ///
    /// # Errors
    /// [`ErrorKind::TooLarge`] when a key, a text or the whole record exceeds what the format's
    /// lengths can say (64 KiB, 64 KiB and 4 GiB), or more than [`RETIRED_MAX`] secrets are retired.
    pub fn to_bytes(&self) -> Result<Bytes> {
        let body = encode_body(self, self.used_at)?;
        let head = Head::new(self.id, self.version, &body, Place::Inline);
        Ok([&head.encode()[..], &body].concat().into())
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote. Its values are slices of `bytes`, not copies.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] for anything that `to_bytes` does not write, one changed bit included;
    /// [`ErrorKind::NewerFormat`] for a record of a newer release.
    pub fn from_bytes(bytes: &Bytes) -> Result<Self> {
        let head = Head::decode(bytes)?;
        if head.place != Place::Inline {
            return Err(Refusal::Damaged.into());
        }
        Ok(head.record(&bytes.slice(HEAD_BYTES..))?)
    }
}

const HAS_PREVIOUS: u16 = 1;
const HAS_AUTHENTICATED_AT: u16 = 1 << 1;
const HAS_LOGIN_BEGAN_AT: u16 = 1 << 2;
const HAS_IDLE_TIMEOUT: u16 = 1 << 3;
const HAS_OWNER: u16 = 1 << 4;
const HAS_CLIENT_ADDRESS: u16 = 1 << 5;
const HAS_USER_AGENT: u16 = 1 << 6;
const IS_SUPERSEDED: u16 = 1 << 7;
const IS_PERSISTENT: u16 = 1 << 8;
const KNOWN_BITS: u16 = (1 << 9) - 1;

/// The body of `record`, as it was last used at `used_at`.
pub(crate) fn encode_body(record: &Record, used_at: SystemTime) -> Result<Vec<u8>> {
    let mut body = Writer(Vec::with_capacity(body_bytes_estimate(record)));
    body.fixed_fields(record, used_at)?;
    body.optional_fields(record);
    for secret in &record.retired {
        body.bytes(secret.hash.as_bytes());
        body.instant(secret.retired_at);
    }
    body.text(record.owner.as_ref().map(Owner::as_str))?;
    body.text(record.client_address.as_deref())?;
    body.text(record.user_agent.as_deref())?;
    body.data(&record.data)?;
    let fits = u32::try_from(body.0.len()).is_ok();
    if fits { Ok(body.0) } else { Err(too_large()) }
}

/// Whether the record of this body has an owner, without decoding it.
#[cfg(any(test, feature = "file"))]
pub(crate) fn is_owned(body: &[u8]) -> bool {
    body.get(..2).is_some_and(|bits| le_u16(bits) & HAS_OWNER != 0)
}

/// How much of a body [`deadline`] needs to see at the most.
#[cfg(feature = "file")]
pub(crate) const DEADLINE_BYTES_MAX: usize = 88;

/// The deadline of the record that this body begins, and when it began, without decoding the rest;
/// `used_at` is the last use noted elsewhere.
#[cfg(feature = "file")]
pub(crate) fn deadline(
    body: &Bytes,
    used_at: impl Fn(SystemTime) -> Option<SystemTime>,
) -> Option<SystemTime> {
    let mut body = Reader { bytes: body, at: 0 };
    let bits = le_u16(body.take(2)?);
    body.take(2 + 4 + 32)?;
    let (created_at, stored_use, absolute) = (body.instant()?, body.instant()?, body.instant()?);
    for skipped in [HAS_AUTHENTICATED_AT, HAS_LOGIN_BEGAN_AT] {
        body.optional(bits & skipped != 0, Reader::instant)?;
    }
    let idle = body.optional(bits & HAS_IDLE_TIMEOUT != 0, Reader::duration)?;
    let last_use = used_at(created_at).map_or(stored_use, |noted| noted.max(stored_use));
    Some(crate::expiry::deadline(last_use, idle, absolute))
}

fn body_bytes_estimate(record: &Record) -> usize {
    let data: usize = record.data.iter().map(|(key, json)| 6 + key.len() + json.len()).sum();
    512 + data
}

fn presence_bits(record: &Record) -> u16 {
    [
        (HAS_PREVIOUS, record.previous.is_some()),
        (HAS_AUTHENTICATED_AT, record.authenticated_at.is_some()),
        (HAS_LOGIN_BEGAN_AT, record.login_began_at.is_some()),
        (HAS_IDLE_TIMEOUT, record.idle_timeout.is_some()),
        (HAS_OWNER, record.owner.is_some()),
        (HAS_CLIENT_ADDRESS, record.client_address.is_some()),
        (HAS_USER_AGENT, record.user_agent.is_some()),
        (IS_SUPERSEDED, record.superseded),
        (IS_PERSISTENT, record.persistent),
    ]
    .into_iter()
    .fold(0, |bits, (bit, present)| if present { bits | bit } else { bits })
}

fn too_large() -> Error {
    Error::new(ErrorKind::TooLarge, "the record exceeds what its format can hold")
}

struct Writer(Vec<u8>);

impl Writer {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn u64(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }

    fn instant(&mut self, instant: SystemTime) {
        self.u64(millis(truncated(instant)));
    }

    fn fixed_fields(&mut self, record: &Record, used_at: SystemTime) -> Result<()> {
        let retired = u8::try_from(record.retired.len()).map_err(|_| too_large())?;
        if usize::from(retired) > RETIRED_MAX {
            return Err(too_large());
        }
        self.bytes(&presence_bits(record).to_le_bytes());
        self.bytes(&[record.level, retired]);
        self.bytes(&record.auth_epoch.to_le_bytes());
        self.bytes(record.secret_hash.as_bytes());
        self.instant(record.created_at);
        self.instant(used_at);
        self.instant(record.absolute_deadline);
        Ok(())
    }

    fn optional_fields(&mut self, record: &Record) {
        for instant in [record.authenticated_at, record.login_began_at].into_iter().flatten() {
            self.instant(instant);
        }
        if let Some(idle) = record.idle_timeout {
            self.u64(u64::try_from(idle.as_millis()).unwrap_or(u64::MAX));
        }
        if let Some(previous) = &record.previous {
            self.bytes(previous.hash.as_bytes());
            self.instant(previous.replaced_at);
            self.u64(previous.accepted_until.map_or(u64::MAX, |until| millis(truncated(until))));
            self.bytes(&previous.auth_epoch.to_le_bytes());
        }
    }

    fn text(&mut self, text: Option<&str>) -> Result<()> {
        let Some(text) = text else { return Ok(()) };
        let len = u16::try_from(text.len()).map_err(|_| too_large())?;
        self.bytes(&len.to_le_bytes());
        self.bytes(text.as_bytes());
        Ok(())
    }

    fn data(&mut self, data: &Data) -> Result<()> {
        let count = u32::try_from(data.len()).map_err(|_| too_large())?;
        self.bytes(&count.to_le_bytes());
        for (key, json) in data.iter() {
            let key_bytes = u16::try_from(key.len()).map_err(|_| too_large())?;
            let json_bytes = u32::try_from(json.len()).map_err(|_| too_large())?;
            self.bytes(&key_bytes.to_le_bytes());
            self.bytes(&json_bytes.to_le_bytes());
            self.bytes(key.as_bytes());
            self.bytes(json);
        }
        Ok(())
    }
}

/// Walks over a body. Every step is `None` where the bytes end or say what no encoder writes.
struct Reader<'a> {
    bytes: &'a Bytes,
    at: usize,
}

impl Reader<'_> {
    fn record(mut self, head: &Head) -> Option<Record> {
        let bits = le_u16(self.take(2)?);
        let [level, retired_len] = array(self.take(2)?);
        let auth_epoch = le_u32(self.take(4)?);
        let secret_hash = self.hash()?;
        let [created_at, used_at, absolute_deadline] =
            [self.instant()?, self.instant()?, self.instant()?];
        if bits & !KNOWN_BITS != 0 || usize::from(retired_len) > RETIRED_MAX {
            return None;
        }
        let has = |bit| bits & bit != 0;
        let record = Record {
            id: head.id,
            version: head.version,
            level,
            auth_epoch,
            secret_hash,
            created_at,
            used_at,
            absolute_deadline,
            superseded: has(IS_SUPERSEDED),
            persistent: has(IS_PERSISTENT),
            authenticated_at: self.optional(has(HAS_AUTHENTICATED_AT), Self::instant)?,
            login_began_at: self.optional(has(HAS_LOGIN_BEGAN_AT), Self::instant)?,
            idle_timeout: self.optional(has(HAS_IDLE_TIMEOUT), Self::duration)?,
            previous: self.optional(has(HAS_PREVIOUS), Self::previous)?,
            retired: (0..retired_len).map(|_| self.retired()).collect::<Option<_>>()?,
            owner: self.optional(has(HAS_OWNER), Self::owner)?,
            client_address: self.optional(has(HAS_CLIENT_ADDRESS), Self::text)?,
            user_agent: self.optional(has(HAS_USER_AGENT), Self::text)?,
            data: self.data()?,
        };
        (self.at == self.bytes.len()).then_some(record)
    }

    /// `Some(None)` where the bits say that the field is absent.
    #[expect(clippy::option_option, reason = "the outer one is damage, the inner one absence")]
    fn optional<T>(
        &mut self,
        present: bool,
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<Option<T>> {
        if present { read(self).map(Some) } else { Some(None) }
    }

    fn take(&mut self, len: usize) -> Option<&[u8]> {
        let end = self.at.checked_add(len)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn slice(&mut self, len: usize) -> Option<Bytes> {
        let start = self.at;
        self.take(len)?;
        Some(self.bytes.slice(start..self.at))
    }

    fn hash(&mut self) -> Option<SecretHash> {
        self.take(32).map(|bytes| SecretHash::from_bytes(array(bytes)))
    }

    /// Refuses an instant past the latest one: it would not be written back as it was read.
    fn instant(&mut self) -> Option<SystemTime> {
        let ms = le_u64(self.take(8)?);
        let instant = from_millis(ms);
        (millis(instant) == ms).then_some(instant)
    }

    /// An instant, or all ones for none yet.
    #[expect(clippy::option_option, reason = "the outer one is damage, the inner one openness")]
    fn until(&mut self) -> Option<Option<SystemTime>> {
        match self.bytes.get(self.at..self.at + 8)? {
            [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff] => self.take(8).map(|_| None),
            _ => self.instant().map(Some),
        }
    }

    fn duration(&mut self) -> Option<Duration> {
        self.take(8).map(|bytes| Duration::from_millis(le_u64(bytes)))
    }

    fn previous(&mut self) -> Option<PreviousSecret> {
        let (hash, replaced_at, accepted_until) = (self.hash()?, self.instant()?, self.until()?);
        let auth_epoch = le_u32(self.take(4)?);
        Some(PreviousSecret { hash, replaced_at, accepted_until, auth_epoch })
    }

    fn retired(&mut self) -> Option<RetiredSecret> {
        Some(RetiredSecret { hash: self.hash()?, retired_at: self.instant()? })
    }

    fn owner(&mut self) -> Option<Owner> {
        Owner::new(self.text()?).ok()
    }

    fn text(&mut self) -> Option<String> {
        let len = le_u16(self.take(2)?).into();
        std::str::from_utf8(self.take(len)?).ok().map(str::to_owned)
    }

    fn data(&mut self) -> Option<Data> {
        let count = le_u32(self.take(4)?) as usize;
        let mut data = Data::default();
        // A count is a claim. Room is made for as many entries as would fill the rest of the input
        // at their size in memory; more than that grow with what is really there.
        data.reserve(count.min((self.bytes.len() - self.at) / ENTRY_BYTES_IN_MEMORY));
        for _ in 0..count {
            let key_bytes = le_u16(self.take(2)?).into();
            let json_bytes = le_u32(self.take(4)?) as usize;
            let key = self.slice(key_bytes)?;
            let json = self.slice(json_bytes)?;
            if !data.push_sorted(std::str::from_utf8(&key).ok()?, json) {
                return None;
            }
        }
        Some(data)
    }
}

const ENTRY_BYTES_IN_MEMORY: usize = size_of::<(Box<str>, Bytes)>();

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("the caller took exactly as many bytes")
}

fn le_u16(bytes: &[u8]) -> u16 {
    u16::from_le_bytes(array(bytes))
}

fn le_u32(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(array(bytes))
}

fn le_u64(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(array(bytes))
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn record() -> Record {
        let id = SessionId::from_bytes([1; 16]);
        let hash = SecretHash::from_bytes([2; 32]);
        let mut record = Record::new(id, hash, UNIX_EPOCH, None, Duration::from_secs(60));
        record.data.insert("a", Bytes::from_static(b"1"));
        record.data.insert("b", Bytes::from_static(b"2"));
        record
    }

    /// An envelope around any body, with checksums that fit it.
    fn sealed(body: &[u8]) -> Bytes {
        let head = Head::new(SessionId::from_bytes([1; 16]), Version::FIRST, body, Place::Inline);
        [&head.encode()[..], body].concat().into()
    }

    fn refusal(bytes: &Bytes) -> ErrorKind {
        Record::from_bytes(bytes).unwrap_err().kind()
    }

    #[test]
    fn values_are_slices_of_the_input() {
        let bytes = record().to_bytes().unwrap();
        let record = Record::from_bytes(&bytes).unwrap();
        let range = bytes.as_ptr_range();
        assert!(record.data.iter().all(|(_, json)| range.contains(&json.as_ptr())));
    }

    #[test]
    fn a_sealed_body_with_an_unsorted_or_double_key_is_refused() {
        let body = encode_body(&record(), UNIX_EPOCH).unwrap();
        for key in [b"b", b"a"] {
            let mut swapped = body.clone();
            let first_key = body.len() - 2 * 8 + 6;
            swapped[first_key..=first_key].copy_from_slice(key);
            let expected = if key == b"a" { None } else { Some(ErrorKind::Corrupt) };
            let read = Record::from_bytes(&sealed(&swapped)).err().map(|error| error.kind());
            assert_eq!(read, expected, "{key:?}");
        }
    }

    #[test]
    fn a_sealed_body_with_more_behind_it_or_unknown_bits_is_refused() {
        let body = encode_body(&record(), UNIX_EPOCH).unwrap();
        assert_eq!(refusal(&sealed(&[&body[..], &[0]].concat())), ErrorKind::Corrupt);
        let mut unknown = body.clone();
        unknown[1] |= 0x80;
        assert_eq!(refusal(&sealed(&unknown)), ErrorKind::Corrupt);
        let mut crowded = body;
        crowded[3] = 5;
        assert_eq!(refusal(&sealed(&crowded)), ErrorKind::Corrupt);
    }

    // R70
    #[test]
    fn a_count_is_not_believed() {
        let mut body = encode_body(&record(), UNIX_EPOCH).unwrap();
        let count = body.len() - 2 * 8 - 4;
        body[count..count + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(refusal(&sealed(&body)), ErrorKind::Corrupt);
    }

    // R72
    #[test]
    fn a_newer_format_is_recognised_only_by_a_valid_head() {
        let mut bytes = record().to_bytes().unwrap().to_vec();
        bytes[4] = 2;
        assert_eq!(refusal(&bytes.clone().into()), ErrorKind::Corrupt);
        let check = xxh3_64(&bytes[..48]);
        bytes[48..56].copy_from_slice(&check.to_le_bytes());
        assert_eq!(refusal(&bytes.clone().into()), ErrorKind::NewerFormat);
        bytes[4] = 0;
        let check = xxh3_64(&bytes[..48]);
        bytes[48..56].copy_from_slice(&check.to_le_bytes());
        assert_eq!(refusal(&bytes.into()), ErrorKind::Corrupt, "there was no format 0");
    }

    #[test]
    fn a_tombstone_is_no_record() {
        let head = Head::tombstone(SessionId::from_bytes([1; 16]), Version::new(3));
        assert_eq!(Head::decode(&head.encode()), Ok(head));
        assert_eq!(refusal(&head.encode().to_vec().into()), ErrorKind::Corrupt);
    }

    #[test]
    fn a_text_too_long_for_its_length_field_is_an_error() {
        let mut record = record();
        record.user_agent = Some("x".repeat(1 << 16));
        assert_eq!(record.to_bytes().unwrap_err().kind(), ErrorKind::TooLarge);
    }

    #[cfg(feature = "file")]
    #[test]
    fn a_deadline_shows_without_decoding() {
        let at = |secs| UNIX_EPOCH + Duration::from_secs(secs);
        let bare = record();
        let began = Record { login_began_at: Some(at(1)), ..bare.clone() };
        let proven = Record { authenticated_at: Some(at(2)), ..began.clone() };
        // Behind its fixed fields stand four bytes of a short name: taken for a timeout, a short one.
        let named = Record { owner: Owner::new("ab").ok(), data: Data::default(), ..bare.clone() };
        for mut record in [bare, began, proven, named] {
            assert_deadlines_show(&mut record);
        }
        assert_eq!(deadline(&Bytes::from_static(&[0; 40]), |_| None), None);
    }

    #[cfg(feature = "file")]
    fn assert_deadlines_show(record: &mut Record) {
        const LATEST: u64 = ((1 << 48) - 1) / 1000;
        let at = |secs| UNIX_EPOCH + Duration::from_secs(secs);
        for (idle, absolute, noted, ends) in [
            (None, 60, None, 60),
            (None, LATEST, None, LATEST),
            (Some(10), 60, None, 10),
            (Some(10), 60, Some(30), 40),
            (Some(10), 35, Some(30), 35),
        ] {
            record.idle_timeout = idle.map(Duration::from_secs);
            record.absolute_deadline = at(absolute);
            let body = Bytes::from(encode_body(record, UNIX_EPOCH).unwrap());
            let front = body.slice(..DEADLINE_BYTES_MAX.min(body.len()));
            assert_eq!(deadline(&front, |_| noted.map(at)), Some(at(ends)));
        }
    }

    #[test]
    fn an_owner_shows_without_decoding() {
        let mut record = record();
        assert!(!is_owned(&encode_body(&record, UNIX_EPOCH).unwrap()));
        record.owner = Some(Owner::new("ann").unwrap());
        assert!(is_owned(&encode_body(&record, UNIX_EPOCH).unwrap()));
    }
}
