//! A disk that crashes: from the calls up to some moment, what may be there after the crash.
//!
//! After the death of a process everything it did is there. After a loss of power a file holds, in
//! every sector, any of the values that the sector had since the last sync of the file; it has any of
//! the sizes it had; and of the changes of names each is there or not, whatever became of the others.
//! Real file systems permit less; what holds here holds there.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::rc::Rc;

use super::super::sys::record::{Call, Node};
use super::tree::{self, Tree};

/// What a device writes whole, or not at all.
pub(super) const SECTOR: usize = 512;

type Number = usize;
type Names = BTreeMap<String, Number>;

/// The contents of a disk: now, and as far as a loss of power may take them back.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    things: Vec<Thing>,
    numbers: HashMap<Node, Number>,
    changes: Vec<Change>,
    sector: usize,
}

#[derive(Clone, Debug)]
enum Thing {
    File(File),
    Dir { now: Names, synced: Names },
}

/// A change of one name, or, by a rename, of two at once.
#[derive(Clone, Debug)]
struct Change(Vec<(Number, String, Option<Number>)>);

/// What can turn out one way or another in a loss of power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Question {
    about: About,
    /// How many answers there are, the oldest first.
    pub(super) answers: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    Sector(Number, usize),
    Size(Number),
    Change(usize),
}

impl Disk {
    /// The directory at `path` with everything in it synced, on a device with sectors of this size.
    pub(super) fn read(path: &Path, sector: usize) -> Self {
        let mut disk = Self { things: vec![], numbers: HashMap::new(), changes: vec![], sector };
        disk.add(path);
        disk
    }

    fn add(&mut self, path: &Path) -> Number {
        let number = self.things.len();
        self.numbers.insert(tree::node(path), number);
        if path.is_file() {
            let content = std::fs::read(path).unwrap();
            self.things.push(Thing::File(File::new(content, self.sector)));
            return number;
        }
        self.things.push(empty_dir());
        for name in tree::names(path) {
            let entry = self.add(&path.join(&name));
            let Thing::Dir { now, synced } = &mut self.things[number] else { unreachable!() };
            now.insert(name.clone(), entry);
            synced.insert(name, entry);
        }
        number
    }

    /// Does what the call did.
    pub(super) fn apply(&mut self, call: &Call) {
        match call {
            Call::Look | Call::Begun(_) | Call::Acknowledged(_) => {}
            Call::Create { dir, name, file } => {
                let empty = Thing::File(File::new(vec![], self.sector));
                self.make(*dir, name, *file, empty);
            }
            Call::MakeDir { dir, name, made } => self.make(*dir, name, *made, empty_dir()),
            Call::Write { file, offset, bytes } => {
                self.file(*file).write(*offset as usize, bytes);
            }
            Call::SetBytes { file, bytes } => self.file(*file).set_size(*bytes as usize),
            Call::Link { dir, name, second } => {
                let linked = self.named(*dir, name);
                self.change(vec![(self.numbers[dir], second.clone(), linked)]);
            }
            Call::Unlink { dir, name } => {
                self.change(vec![(self.numbers[dir], name.clone(), None)]);
            }
            Call::Rename { dir, name, target, new_name } => {
                let moved = self.named(*dir, name);
                let (from, to) = (self.numbers[dir], self.numbers[target]);
                self.change(vec![(from, name.clone(), None), (to, new_name.clone(), moved)]);
            }
            Call::SyncFile { file } => self.file(*file).sync(),
            Call::SyncDir { dir } => self.sync_names(self.numbers[dir]),
            Call::Failed(call) => self.fail(call),
        }
    }

    /// What a sync that reports an error leaves behind: the kernel gave up on the pages, and calls
    /// them clean. No later sync writes them, unless they are written to again.
    fn fail(&mut self, call: &Call) {
        if let Call::SyncFile { file } = call {
            self.file(*file).unwritten.clear();
        }
    }

    fn make(&mut self, dir: Node, name: &str, node: Node, thing: Thing) {
        if self.named(dir, name).is_some() {
            return;
        }
        // The system gives a freed number to the next file: the new one is another thing.
        self.numbers.insert(node, self.things.len());
        self.things.push(thing);
        self.change(vec![(self.numbers[&dir], name.into(), Some(self.things.len() - 1))]);
    }

    fn change(&mut self, edits: Vec<(Number, String, Option<Number>)>) {
        for (dir, name, entry) in &edits {
            let Thing::Dir { now, .. } = &mut self.things[*dir] else { unreachable!() };
            set(now, name, *entry);
        }
        self.changes.push(Change(edits));
    }

    fn sync_names(&mut self, dir: Number) {
        let touches = |change: &Change| change.0.iter().any(|(at, ..)| *at == dir);
        let (synced, open) = std::mem::take(&mut self.changes).into_iter().partition(touches);
        self.changes = open;
        let synced: Vec<Change> = synced;
        for (dir, name, entry) in synced.into_iter().flat_map(|change| change.0) {
            let Thing::Dir { synced, .. } = &mut self.things[dir] else { unreachable!() };
            set(synced, &name, entry);
        }
    }

    fn named(&self, dir: Node, name: &str) -> Option<Number> {
        let Thing::Dir { now, .. } = &self.things[self.numbers[&dir]] else { unreachable!() };
        now.get(name).copied()
    }

    fn file(&mut self, node: Node) -> &mut File {
        match &mut self.things[self.numbers[&node]] {
            Thing::File(file) => file,
            Thing::Dir { .. } => unreachable!("directories are not written to"),
        }
    }

    /// What is there after the death of a process.
    pub(super) fn now(&self) -> Tree {
        let now = |number: Number| match &self.things[number] {
            Thing::Dir { now, .. } => Ok(now.clone()),
            Thing::File(file) => Err(Rc::clone(&file.now)),
        };
        tree_of(0, &now)
    }

    /// What a loss of power leaves open.
    pub(super) fn questions(&self) -> Vec<Question> {
        let changes =
            (0..self.changes.len()).map(|at| Question { about: About::Change(at), answers: 2 });
        changes
            .chain(self.reachable().into_iter().flat_map(|at| self.questions_about(at)))
            .collect()
    }

    fn questions_about(&self, number: Number) -> Vec<Question> {
        let Thing::File(file) = &self.things[number] else { return vec![] };
        let size = Question { about: About::Size(number), answers: file.sizes.len() };
        let sectors = file.sectors.iter().enumerate().map(|(at, values)| Question {
            about: About::Sector(number, at),
            answers: values.len(),
        });
        sectors.chain([size]).filter(|question| question.answers > 1).collect()
    }

    /// Everything that has a name, or may have one after a loss of power.
    fn reachable(&self) -> BTreeSet<Number> {
        let entries = self.things.iter().flat_map(|thing| match thing {
            Thing::Dir { now, synced } => now.values().chain(synced.values()).copied().collect(),
            Thing::File(_) => vec![],
        });
        let changed = self.changes.iter().flat_map(|change| change.0.iter().filter_map(|it| it.2));
        entries.chain(changed).collect()
    }

    /// What is there after a loss of power that answered the questions like this.
    pub(super) fn after(&self, questions: &[Question], answers: &[usize]) -> Tree {
        let mut answered = Answers::default();
        for (question, answer) in questions.iter().zip(answers) {
            match question.about {
                About::Sector(file, at) => drop(answered.sectors.insert((file, at), *answer)),
                About::Size(file) => drop(answered.sizes.insert(file, *answer)),
                About::Change(at) if *answer == 1 => drop(answered.changes.insert(at)),
                About::Change(_) => {}
            }
        }
        let names = self.names_after(&answered.changes);
        let after = |number: Number| match &self.things[number] {
            Thing::Dir { .. } => Ok(names.get(&number).cloned().unwrap_or_default()),
            Thing::File(file) => Err(file.after(number, &answered)),
        };
        tree_of(0, &after)
    }

    fn names_after(&self, kept: &BTreeSet<usize>) -> HashMap<Number, Names> {
        let mut names = HashMap::new();
        for (number, thing) in self.things.iter().enumerate() {
            if let Thing::Dir { synced, .. } = thing {
                names.insert(number, synced.clone());
            }
        }
        for (dir, name, entry) in kept.iter().flat_map(|at| &self.changes[*at].0) {
            set(names.entry(*dir).or_default(), name, *entry);
        }
        names
    }
}

#[derive(Debug, Default)]
struct Answers {
    sectors: HashMap<(Number, usize), usize>,
    sizes: HashMap<Number, usize>,
    changes: BTreeSet<usize>,
}

fn empty_dir() -> Thing {
    Thing::Dir { now: Names::new(), synced: Names::new() }
}

fn set(names: &mut Names, name: &str, entry: Option<Number>) {
    match entry {
        Some(entry) => drop(names.insert(name.into(), entry)),
        None => drop(names.remove(name)),
    }
}

fn tree_of(number: Number, look: &dyn Fn(Number) -> Result<Names, Rc<Vec<u8>>>) -> Tree {
    match look(number) {
        Err(content) => Tree::File(content),
        Ok(names) => {
            Tree::Dir(names.into_iter().map(|(name, at)| (name, tree_of(at, look))).collect())
        }
    }
}

/// A file: its content, and every value its parts may have on the disk, the oldest first.
#[derive(Clone, Debug)]
struct File {
    now: Rc<Vec<u8>>,
    sector: usize,
    sectors: Vec<Vec<Rc<[u8]>>>,
    sizes: Vec<usize>,
    /// What the next sync will write.
    unwritten: BTreeSet<Part>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Size,
    Sector(usize),
}

impl File {
    fn new(content: Vec<u8>, sector: usize) -> Self {
        let sizes = vec![content.len()];
        let sectors = content.chunks(sector).map(|it| vec![padded(it, sector)]).collect();
        Self { now: Rc::new(content), sector, sectors, sizes, unwritten: BTreeSet::new() }
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let now = Rc::make_mut(&mut self.now);
        let old_size = now.len();
        let end = offset + bytes.len();
        if end > old_size {
            now.resize(end, 0);
        }
        now[offset..end].copy_from_slice(bytes);
        self.note_sectors(offset.min(old_size), end);
        self.note_size();
    }

    fn set_size(&mut self, size: usize) {
        let old_size = self.now.len();
        Rc::make_mut(&mut self.now).resize(size, 0);
        self.note_sectors(old_size.min(size), size);
        self.note_size();
    }

    fn note_sectors(&mut self, start: usize, end: usize) {
        for at in start / self.sector..end.div_ceil(self.sector) {
            let bytes = &self.now[at * self.sector..];
            let value = padded(&bytes[..bytes.len().min(self.sector)], self.sector);
            if at >= self.sectors.len() {
                self.sectors.resize(at + 1, vec![padded(&[], self.sector)]);
            }
            note(&mut self.sectors[at], value);
            self.unwritten.insert(Part::Sector(at));
        }
    }

    fn note_size(&mut self) {
        note(&mut self.sizes, self.now.len());
        self.unwritten.insert(Part::Size);
    }

    fn sync(&mut self) {
        for part in std::mem::take(&mut self.unwritten) {
            match part {
                Part::Size => keep_last(&mut self.sizes),
                Part::Sector(at) => keep_last(&mut self.sectors[at]),
            }
        }
    }

    fn after(&self, number: Number, answers: &Answers) -> Rc<Vec<u8>> {
        let size = self.sizes[answers.sizes.get(&number).copied().unwrap_or(self.sizes.len() - 1)];
        let mut content = vec![0; size];
        for (at, place) in content.chunks_mut(self.sector).enumerate() {
            let Some(values) = self.sectors.get(at) else { break };
            let answer = answers.sectors.get(&(number, at)).copied();
            let value = &values[answer.unwrap_or(values.len() - 1)];
            place.copy_from_slice(&value[..place.len()]);
        }
        Rc::new(content)
    }
}

/// The last value becomes the newest. One that was there before moves to the end: what a sync keeps
/// is what is there now.
fn note<T: PartialEq>(values: &mut Vec<T>, value: T) {
    values.retain(|known| *known != value);
    values.push(value);
}

fn keep_last<T>(values: &mut Vec<T>) {
    values.drain(..values.len() - 1);
}

fn padded(bytes: &[u8], len: usize) -> Rc<[u8]> {
    let mut padded = bytes.to_vec();
    padded.resize(len, 0);
    padded.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: Node = (0, 1);
    const ROOT: Node = (0, 0);

    fn disk() -> Disk {
        let numbers = HashMap::from([(ROOT, 0)]);
        Disk { things: vec![empty_dir()], numbers, changes: vec![], sector: 4 }
    }

    fn create() -> Call {
        Call::Create { dir: ROOT, name: "a".into(), file: FILE }
    }

    fn write(offset: u64, bytes: &[u8]) -> Call {
        Call::Write { file: FILE, offset, bytes: bytes.into() }
    }

    /// Every content that the file may have after a loss of power; `None` where it has no name.
    fn outcomes(calls: &[Call]) -> BTreeSet<Option<Vec<u8>>> {
        let mut disk = disk();
        for call in calls {
            disk.apply(call);
        }
        let questions = disk.questions();
        let all = super::super::choices::all(&questions);
        all.map(|answers| content(&disk.after(&questions, &answers))).collect()
    }

    fn content(tree: &Tree) -> Option<Vec<u8>> {
        let Tree::Dir(entries) = tree else { return None };
        entries.get("a").map(|entry| match entry {
            Tree::File(content) => content.to_vec(),
            Tree::Dir(_) => unreachable!(),
        })
    }

    fn set_of(contents: &[&[u8]]) -> BTreeSet<Option<Vec<u8>>> {
        contents.iter().map(|content| Some(content.to_vec())).collect()
    }

    #[test]
    fn a_name_is_certain_once_its_directory_was_synced() {
        assert_eq!(outcomes(&[create()]), BTreeSet::from([None, Some(vec![])]));
        assert_eq!(outcomes(&[create(), Call::SyncDir { dir: ROOT }]), set_of(&[b""]));
    }

    #[test]
    fn an_unsynced_sector_has_any_value_since_the_last_sync() {
        let sync = [Call::SyncDir { dir: ROOT }, Call::SyncFile { file: FILE }];
        let synced = [&[create(), write(0, b"aaaabbbb")], &sync[..]].concat();
        assert_eq!(outcomes(&synced), set_of(&[b"aaaabbbb"]));
        let torn = [&synced[..], &[write(2, b"cccc")]].concat();
        let any: [&[u8]; 4] = [b"aaaabbbb", b"aaccbbbb", b"aaaaccbb", b"aaccccbb"];
        assert_eq!(outcomes(&torn), set_of(&any));
        let twice = [&torn[..], &[write(0, b"dd")]].concat();
        assert_eq!(outcomes(&twice).len(), 6);
    }

    #[test]
    fn an_unsynced_size_is_any_since_the_last_sync() {
        let sync = [Call::SyncDir { dir: ROOT }, Call::SyncFile { file: FILE }];
        let grown = [&[create()], &sync[..], &[write(0, b"aaaa")]].concat();
        assert_eq!(outcomes(&grown), set_of(&[b"", b"aaaa", &[0; 4]]));
        let cut = Call::SetBytes { file: FILE, bytes: 2 };
        let shrunk = [&grown[..], &sync[..], &[cut]].concat();
        assert_eq!(outcomes(&shrunk), set_of(&[b"aaaa", b"aa\0\0", b"aa"]));
    }

    #[test]
    fn no_later_sync_writes_what_a_failed_one_dropped() {
        let synced = [create(), Call::SyncDir { dir: ROOT }, write(0, b"aaaa")];
        let sync = Call::SyncFile { file: FILE };
        let failed = Call::Failed(Box::new(sync.clone()));
        let dropped = [&synced[..], &[sync.clone(), write(0, b"bbbb"), failed]].concat();
        let again = [&dropped[..], std::slice::from_ref(&sync)].concat();
        assert_eq!(outcomes(&again), set_of(&[b"aaaa", b"bbbb"]));
        let anew = [&again[..], &[write(0, b"bbbb"), sync]].concat();
        assert_eq!(outcomes(&anew), set_of(&[b"bbbb"]));
    }

    #[test]
    fn a_rename_is_there_as_a_whole_or_not_at_all() {
        let rename =
            Call::Rename { dir: ROOT, name: "b".into(), target: ROOT, new_name: "a".into() };
        let create = Call::Create { dir: ROOT, name: "b".into(), file: FILE };
        let mut disk = disk();
        for call in [create, Call::SyncDir { dir: ROOT }, rename] {
            disk.apply(&call);
        }
        let questions = disk.questions();
        let files = |answer| disk.after(&questions, &[answer]).files();
        assert_eq!((files(0), files(1)), (vec!["b".into()], vec!["a".to_owned()]));
    }
}
