//! Finds the types that have the same shape, also where they contain each other, by Hopcroft's refinement of a
//! partition.
//!
//! At first all types of the same outline form one class. A class is split where its members name, in the same place,
//! members of different classes. This is repeated until no class has to be split. After a split, the largest part is
//! not looked at again, so the number of steps is of the order of `n log n`.
//! parted, the largest part is not looked at again, so it takes steps in the order of `n log n`.

/// Returns a class for each type. Two types get the same class exactly if their outlines are equal (`classes`) and
/// the types that they name have the same classes (`names`; types of one outline name equally many).
pub(super) fn refine(classes: &[u32], names: &[Vec<u32>]) -> Vec<u32> {
    let mut named_by = vec![Vec::new(); names.len()];
    for (by, names) in names.iter().enumerate() {
        for (place, name) in names.iter().enumerate() {
            named_by[*name as usize].push(Mention {
                by: by as u32,
                place: place as u32,
            });
        }
    }
    let mut partition = Partition::new(classes);
    while let Some(class) = partition.queue.pop() {
        partition.is_queued[class as usize] = false;
        let members = &partition.members[class as usize];
        let mentions = members
            .iter()
            .flat_map(|member| &named_by[*member as usize]);
        let mut mentions: Vec<Mention> = mentions.copied().collect();
        mentions.sort_unstable();
        partition.part_by(&mentions);
    }
    partition.class_of
}

/// A place in a type that names another type.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Mention {
    by: u32,
    place: u32,
}

struct Partition {
    class_of: Vec<u32>,
    members: Vec<Vec<u32>>,
    /// The position of each type among the members of its class.
    position: Vec<u32>,
    /// Classes that may still split others.
    queue: Vec<u32>,
    is_queued: Vec<bool>,
}

impl Partition {
    fn new(classes: &[u32]) -> Partition {
        let count = classes.iter().max().map_or(0, |last| last + 1);
        let mut partition = Partition {
            class_of: vec![0; classes.len()],
            members: Vec::new(),
            position: vec![0; classes.len()],
            queue: (0..count).collect(),
            is_queued: vec![true; count as usize],
        };
        partition.members.resize_with(count as usize, Vec::new);
        for (member, class) in classes.iter().enumerate() {
            partition.put(member as u32, *class);
        }
        partition
    }

    fn put(&mut self, member: u32, class: u32) {
        let members = &mut self.members[class as usize];
        self.position[member as usize] = members.len() as u32;
        self.class_of[member as usize] = class;
        members.push(member);
    }

    fn take_out(&mut self, member: u32) {
        let members = &mut self.members[self.class_of[member as usize] as usize];
        let position = self.position[member as usize];
        members.swap_remove(position as usize);
        if let Some(moved) = members.get(position as usize) {
            self.position[*moved as usize] = position;
        }
    }

    /// Splits every class whose members name the same class in different places. `mentions` are all mentions of that
    /// class, sorted.
    fn part_by(&mut self, mentions: &[Mention]) {
        let places: Vec<u32> = mentions.iter().map(|mention| mention.place).collect();
        let mut touched = Vec::new();
        let mut start = 0;
        for mentions in mentions.chunk_by(|a, b| a.by == b.by) {
            let member = mentions[0].by;
            let end = start + mentions.len();
            touched.push((self.class_of[member as usize], &places[start..end], member));
            start = end;
        }
        touched.sort_unstable();
        for of_class in touched.chunk_by(|a, b| a.0 == b.0) {
            let class = of_class[0].0;
            let groups = of_class.chunk_by(|a, b| a.1 == b.1);
            let groups = groups.map(|group| group.iter().map(|(_, _, member)| *member).collect());
            self.part(class, groups.collect());
        }
    }

    /// Makes each group of members a class of its own. One group keeps the old class.
    fn part(&mut self, class: u32, mut groups: Vec<Vec<u32>>) {
        let moved: usize = groups.iter().map(Vec::len).sum();
        if moved == self.members[class as usize].len() {
            groups.pop();
        }
        let mut parts = vec![class];
        for group in groups {
            let new = self.members.len() as u32;
            self.members.push(Vec::new());
            self.is_queued.push(false);
            parts.push(new);
            for member in group {
                self.take_out(member);
                self.put(member, new);
            }
        }
        if !self.is_queued[class as usize] {
            let size = |part: &usize| self.members[parts[*part] as usize].len();
            if let Some(largest) = (0..parts.len()).max_by_key(size) {
                parts.swap_remove(largest);
            }
        }
        for part in parts {
            if !core::mem::replace(&mut self.is_queued[part as usize], true) {
                self.queue.push(part);
            }
        }
    }
}
