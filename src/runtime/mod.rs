//! Tasks and time: the tasks of connections, their timers, the signal that ends them, and the limits
//! on what they use.

pub(crate) mod budget;
pub(crate) mod counter;
pub(crate) mod deadline;
pub(crate) mod limit;
pub(crate) mod moment;
pub(crate) mod shutdown;
pub(crate) mod tasks;
pub(crate) mod timers;
