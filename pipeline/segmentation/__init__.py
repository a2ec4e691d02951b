"""From a reasoning to its blocks: sentences (`split`), boundary scores (`score`), cuts (`partition`)."""
