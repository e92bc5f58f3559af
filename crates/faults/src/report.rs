//! What was done, what was looked at, and what was wrong.

use std::fmt;

/// One line of the table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) injected: u64,
    pub(crate) checks: u64,
    pub(crate) violations: Vec<String>,
}

impl Row {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), ..Self::default() }
    }

    /// One more thing looked at, and what is wrong with it.
    pub(crate) fn check(&mut self, wrong: Option<String>) {
        self.checks += 1;
        self.violations.extend(wrong);
    }

    /// Many things looked at.
    pub(crate) fn check_all(&mut self, checks: u64, wrong: Vec<String>) {
        self.checks += checks;
        self.violations.extend(wrong);
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.injected += other.injected;
        self.checks += other.checks;
        self.violations.extend(other.violations);
    }

    /// Nothing was wrong, and something was looked at after something had happened.
    pub(crate) fn is_good(&self) -> bool {
        self.violations.is_empty() && self.injected > 0 && self.checks > 0
    }
}

/// Everything that was tried, and what could not be.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) rows: Vec<Row>,
    missing: Vec<String>,
    forbidden: Vec<String>,
}

impl Report {
    /// Adds what a part found, or why it could not be run.
    pub(crate) fn add(&mut self, part: &str, found: Result<Vec<Row>, Trouble>) {
        match found {
            Ok(rows) => self.rows.extend(rows),
            Err(Trouble::Missing(why)) => self.missing.push(format!("{part}: {why}")),
            Err(Trouble::Forbidden(why)) => self.forbidden.push(format!("{part}: {why}")),
            Err(Trouble::Broken(why)) => {
                let violations = vec![why];
                self.rows.push(Row { violations, ..Row::new(part) });
            }
        }
    }

    pub(crate) fn is_good(&self) -> bool {
        !self.rows.is_empty() && self.rows.iter().all(Row::is_good)
    }
}

/// Why a part could not be run.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// A program is not there, or may not be used; it could be.
    Missing(String),
    /// This machine does not let us mount.
    Forbidden(String),
    /// It should have worked.
    Broken(String),
}

impl From<String> for Trouble {
    fn from(why: String) -> Self {
        Self::Broken(why)
    }
}

impl From<std::io::Error> for Trouble {
    fn from(why: std::io::Error) -> Self {
        Self::Broken(why.to_string())
    }
}

/// So many violations of one row are told; the rest is counted.
const TOLD_MAX: usize = 20;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<44} {:>9} {:>9} {:>10}", "faults on", "injected", "checks", "violations")?;
        let mut total = Row::new("total");
        for row in &self.rows {
            writeln!(f, "{}", line(row))?;
            total.add(row.clone());
        }
        writeln!(f, "{}", line(&total))?;
        for row in self.rows.iter().filter(|row| !row.is_good()) {
            tell(f, row)?;
        }
        for why in &self.missing {
            writeln!(f, "missing: {why}")?;
        }
        for why in &self.forbidden {
            writeln!(f, "skipped: {why}")?;
        }
        let good = self.rows.iter().filter(|row| row.is_good()).count();
        let bad = self.rows.len() - good;
        let skipped = self.missing.len() + self.forbidden.len();
        write!(f, "faults: {good} passed, {bad} failed, {skipped} skipped")
    }
}

fn line(row: &Row) -> String {
    let violations = row.violations.len();
    format!("{:<44} {:>9} {:>9} {:>10}", row.what, row.injected, row.checks, violations)
}

fn tell(f: &mut fmt::Formatter<'_>, row: &Row) -> fmt::Result {
    for violation in row.violations.iter().take(TOLD_MAX) {
        writeln!(f, "violation: {}: {violation}", row.what)?;
    }
    if row.violations.len() > TOLD_MAX {
        writeln!(f, "violation: {}: and {} more", row.what, row.violations.len() - TOLD_MAX)?;
    }
    if row.violations.is_empty() {
        writeln!(f, "violation: {}: nothing was injected, or nothing was looked at", row.what)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_without_injections_or_checks_is_no_success() {
        let row = |injected, checks| Row { injected, checks, ..Row::new("x") };
        assert!(row(1, 1).is_good() && !row(0, 1).is_good() && !row(1, 0).is_good());
    }

    #[test]
    fn the_last_line_counts() {
        let mut report = Report::default();
        report.add("a", Ok(vec![Row { injected: 2, checks: 3, ..Row::new("a") }]));
        report.add("b", Err(Trouble::Forbidden("no root".into())));
        report.add("d", Err(Trouble::Missing("no strace".into())));
        report.add("c", Err(Trouble::Broken("it broke".into())));
        let text = report.to_string();
        assert!(text.contains("skipped: b: no root"), "{text}");
        assert!(text.contains("missing: d: no strace"), "{text}");
        assert!(text.contains("violation: c: it broke"), "{text}");
        assert!(text.ends_with("faults: 1 passed, 1 failed, 2 skipped"), "{text}");
        assert!(!report.is_good());
    }
}
