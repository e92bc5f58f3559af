//! What the demo sells: things that hold on to rocks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One thing for sale. All of them are sessile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Item {
    Anemone,
    Barnacle,
    Coral,
    Mussel,
    Oyster,
    Sponge,
}

impl Item {
    /// Everything for sale.
    pub(crate) const ALL: [Self; 6] =
        [Self::Anemone, Self::Barnacle, Self::Coral, Self::Mussel, Self::Oyster, Self::Sponge];

    /// Its name, on the page and in the forms.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Anemone => "Anemone",
            Self::Barnacle => "Barnacle",
            Self::Coral => "Coral",
            Self::Mussel => "Mussel",
            Self::Oyster => "Oyster",
            Self::Sponge => "Sponge",
        }
    }
}

/// How many of what somebody wants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Basket(BTreeMap<Item, u32>);

impl Basket {
    /// This basket with one more of `item`.
    #[must_use]
    pub(crate) fn with(mut self, item: Item) -> Self {
        let count = self.0.entry(item).or_default();
        *count = count.saturating_add(1);
        self
    }

    /// How many things are in it.
    pub(crate) fn len(&self) -> u32 {
        self.0.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// What is in it, and how often.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Item, u32)> {
        self.0.iter().map(|(item, count)| (*item, *count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_basket_counts_what_was_added() {
        let basket = Basket::default().with(Item::Coral).with(Item::Oyster).with(Item::Coral);
        assert_eq!(basket.len(), 3);
        assert_eq!(basket.iter().collect::<Vec<_>>(), [(Item::Coral, 2), (Item::Oyster, 1)]);
        assert_eq!(serde_json::to_string(&basket).unwrap(), r#"{"Coral":2,"Oyster":1}"#);
    }

    #[test]
    fn only_what_is_for_sale_is_an_item() {
        for item in Item::ALL {
            assert_eq!(serde_json::to_value(item).unwrap(), item.name());
        }
        assert!(serde_json::from_str::<Item>("\"Shark\"").is_err());
    }
}
