//! Durations, sizes, instants and browsers in words a person reads.

use std::time::{Duration, SystemTime};

/// A span of time, to the second, in at most two units: `42 s`, `11 h 56 min`.
pub(crate) fn span(span: Duration) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")];
    let seconds = (span.as_millis() + 500) as u64 / 1_000;
    let Some(largest) = UNITS.iter().position(|(size, _)| seconds >= *size) else {
        return "0 s".into();
    };
    let (size, unit) = UNITS[largest];
    let whole = format!("{} {unit}", seconds / size);
    match UNITS.get(largest + 1) {
        Some((next, unit)) if size != 60 && seconds % size / next > 0 => {
            format!("{whole} {} {unit}", seconds % size / next)
        }
        _ => whole,
    }
}

/// How long something took, in the unit that needs no exponent: `41 µs`, `1.2 ms`.
pub(crate) fn took(duration: Duration) -> String {
    let micros = duration.as_micros();
    match micros {
        0..1_000 => format!("{} µs", micros.max(1)),
        1_000..1_000_000 => format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100),
        _ => format!("{}.{} s", micros / 1_000_000, micros % 1_000_000 / 100_000),
    }
}

/// A size in bytes, or in KiB with one digit after the point.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        1 => "1 byte".into(),
        0..1_024 => format!("{bytes} bytes"),
        _ => format!("{}.{} KiB", bytes / 1_024, bytes % 1_024 * 10 / 1_024),
    }
}

/// How long ago an instant was: `just now`, `4 min ago`.
pub(crate) fn ago(then: SystemTime, now: SystemTime) -> String {
    let passed = now.duration_since(then).unwrap_or_default();
    if passed < Duration::from_secs(10) {
        "just now".into()
    } else {
        format!("{} ago", span(passed))
    }
}

/// A count and its noun: `1 visit`, `7 visits`.
pub(crate) fn count(n: u64, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

/// The browser and system a `User-Agent` header claims, as its owner would name them.
///
/// Many agents name others for compatibility, so the more particular names come first.
pub(crate) fn device(user_agent: Option<&str>) -> String {
    const BROWSERS: [(&str, &str); 8] = [
        ("Edg", "Edge"),
        ("OPR/", "Opera"),
        ("SamsungBrowser", "Samsung Internet"),
        ("Firefox/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
        ("curl/", "curl"),
        ("python", "a Python program"),
    ];
    const SYSTEMS: [(&str, &str); 7] = [
        ("Android", "Android"),
        ("iPhone", "an iPhone"),
        ("iPad", "an iPad"),
        ("Windows", "Windows"),
        ("Mac OS X", "a Mac"),
        ("CrOS", "ChromeOS"),
        ("Linux", "Linux"),
    ];
    let find = |names: &[(&str, &'static str)]| {
        let named = names.iter().find(|(mark, _)| user_agent.is_some_and(|it| it.contains(mark)));
        named.map(|(_, name)| *name)
    };
    match (find(&BROWSERS), find(&SYSTEMS)) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(only), None) | (None, Some(only)) => only.into(),
        (None, None) => "An unknown browser".into(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn a_span_has_at_most_two_units() {
        for (seconds, words) in [
            (0, "0 s"),
            (59, "59 s"),
            (61, "1 min"),
            (3599, "59 min"),
            (3600, "1 h"),
            (43_000, "11 h 56 min"),
            (90_000, "1 d 1 h"),
        ] {
            assert_eq!(span(Duration::from_secs(seconds)), words);
            assert_eq!(span(Duration::from_millis(seconds * 1_000 + 499)), words);
        }
    }

    #[test]
    fn what_took_microseconds_is_said_in_microseconds() {
        for (micros, words) in [(0, "1 µs"), (41, "41 µs"), (1_250, "1.2 ms"), (2_300_000, "2.3 s")]
        {
            assert_eq!(took(Duration::from_micros(micros)), words);
        }
    }

    #[test]
    fn sizes_are_bytes_then_kibibytes() {
        for (bytes, words) in
            [(1, "1 byte"), (900, "900 bytes"), (4096, "4.0 KiB"), (5000, "4.8 KiB")]
        {
            assert_eq!(size(bytes), words);
        }
    }

    #[test]
    fn the_last_seconds_are_just_now() {
        let then = UNIX_EPOCH;
        assert_eq!(ago(then, then + Duration::from_secs(9)), "just now");
        assert_eq!(ago(then, then + Duration::from_secs(240)), "4 min ago");
        assert_eq!(ago(then + Duration::from_secs(1), then), "just now");
    }

    #[test]
    fn one_is_singular() {
        assert_eq!(count(1, "visit"), "1 visit");
        assert_eq!(count(0, "visit"), "0 visits");
    }

    #[test]
    fn browsers_are_named_as_their_owners_name_them() {
        let chrome = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36";
        let safari = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Version/17.0 Safari/604.1";
        let edge = "Mozilla/5.0 (Windows NT 10.0; Win64) Chrome/120.0 Safari/537.36 Edg/120.0";
        for (agent, words) in [
            (Some(chrome), "Chrome on Linux"),
            (Some(safari), "Safari on an iPhone"),
            (Some(edge), "Edge on Windows"),
            (Some("curl/8.5.0"), "curl"),
            (Some(""), "An unknown browser"),
            (None, "An unknown browser"),
        ] {
            assert_eq!(device(agent), words);
        }
    }
}
